"""A frame, its flow, and what the networks say of it, as one picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flowcache.show.colour import flow_to_color
from flowcache.types import Float32, UInt8
from twostream.report.lettering import font, shortened
from twostream.scoring.detection import Segment

_Colour = tuple[int, int, int]

_BACKGROUND: _Colour = (20, 22, 27)
_RAISED: _Colour = (32, 35, 42)  # behind the fused labels and the empty timeline
_TEXT: _Colour = (240, 241, 243)
_DIM: _Colour = (150, 155, 165)
_FIRST_COLOURS: Sequence[_Colour] = (
    (78, 121, 167),
    (225, 121, 43),
    (89, 161, 79),
    (205, 75, 82),
    (150, 103, 170),
    (58, 148, 145),
    (196, 156, 40),
    (214, 108, 146),
    (146, 105, 83),
    (112, 122, 135),
)
_GOLDEN_ANGLE = 0.618034  # of a turn: hues that follow each other in it lie far apart
_SMALLEST_SCALE = 0.5  # pixels that are fully saturated, at least: what is less is noise
_SMOOTHING = 0.05
_ROWS = 3
_AHEAD = 0.45  # how far what is still to come fades into the background
_SHORT_SIDE = 480  # smaller pictures are enlarged towards it, so that text can be read


@dataclass(frozen=True, eq=False)
class Moment:
    """What is known of a video at one time."""

    time: float
    """Seconds."""

    probabilities: Mapping[str, Float32]
    """Of each run and of the fusion, by its name: float32 (K,). The last is drawn as the result."""

    segments: Sequence[Segment]
    """In order of time."""

    span: tuple[float, float]
    """The seconds from which and to which the timeline reaches."""


class FlowScale:
    """The length in pixels that is drawn saturated: of 99 in 100 vectors, following slowly.

    A scale that changed from frame to frame would flicker.
    """

    def __init__(self) -> None:
        self._scale = 0.0

    def __call__(self, flow: Float32) -> float:
        """The scale for the next field, (2, H, W)."""
        longest = float(np.percentile(np.hypot(*flow[:, ::4, ::4]), 99))
        share = _SMOOTHING if self._scale else 1.0
        self._scale = max(_SMALLEST_SCALE, self._scale + share * (longest - self._scale))
        return self._scale


class Drawing:
    """Draws the frames of one video of these classes."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._colours = {name: colour_of(number) for number, name in enumerate(classes)}
        self._scale = FlowScale()

    def __call__(self, rgb: UInt8, flow: Float32 | None, moment: Moment) -> UInt8:
        """One picture.

        rgb: uint8 (H, W, 3). flow: float32 (2, h, w), pixels, of any size; None draws no inset.

        Returns uint8 (H', W', 3) with even sides, as video codecs want them: the frame with the flow in
        its upper right corner, below it the best classes of each stream and of the fusion side by side,
        and the timeline. A frame with a short side of at most 320 pixels is enlarged by a whole factor.
        """
        picture = _enlarged(rgb)
        height, width = picture.shape[:2]
        unit = max(12, round(min(width, height * 4 / 3) / 44))
        if flow is not None:
            self._inset(picture, flow, unit)
        parts = [picture]
        if moment.probabilities:
            parts.append(self._labels(width, unit, moment.probabilities))
        parts.append(self._timeline(width, unit, moment))
        return _even(np.concatenate(parts))

    def _inset(self, picture: UInt8, flow: Float32, unit: int) -> None:
        """Put the flow in colour into the upper right corner."""
        height, width = picture.shape[:2]
        wide = round(0.3 * width)
        high = round(wide * flow.shape[1] / flow.shape[2])
        if high > height // 2:
            wide, high = round(wide * height / 2 / high), height // 2
        scale = self._scale(flow)
        # Vectors are averaged before they are coloured: that is a tenth of the work.
        small = [cv2.resize(plane, (wide, high), interpolation=cv2.INTER_AREA) for plane in flow]
        colours = flow_to_color(np.stack(small), scale)
        image = Image.fromarray(colours)
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, wide - 1, high - 1), outline=_BACKGROUND)
        letters = font(round(0.75 * unit))
        place = (0.4 * unit, high - 0.3 * unit)
        draw.text(place, f"flow, to {scale:.2g} px", _BACKGROUND, letters, anchor="ld")
        top, right = unit // 2, width - unit // 2
        picture[top : top + high, right - wide : right] = np.asarray(image)

    def _labels(self, width: int, unit: int, probabilities: Mapping[str, Float32]) -> UInt8:
        """A column for each stream: its name, and its best classes with their probabilities as bars."""
        rows = min(_ROWS, len(self._classes))
        row, gap = round(1.5 * unit), max(2, unit // 3)
        height = 2 * gap + round(1.3 * unit) + rows * (row + gap // 2)
        image = Image.new("RGB", (width, height), _BACKGROUND)
        draw = ImageDraw.Draw(image)
        column = (width - gap) / len(probabilities)
        for number, (name, values) in enumerate(probabilities.items()):
            last = number == len(probabilities) - 1
            left, right = round(gap + number * column), round((number + 1) * column)
            if last and number:
                draw.rectangle((left - gap // 2, gap // 2, width, height), fill=_RAISED)
            head = font(round(0.85 * unit), last)
            draw.text((left + gap, gap), name, _TEXT if last else _DIM, head, anchor="la")
            top = gap + round(1.3 * unit)
            for best in np.argsort(-values, kind="stable")[:rows]:
                label, share = self._classes[best], float(values[best])
                end = left + max(2, round((right - left) * share))
                draw.rectangle((left, top, end, top + row - 1), fill=self._colours[label])
                letters = font(unit, last)
                number_left = _text(
                    draw, (right - gap, top + row / 2), f"{share:.0%}", letters, "rm"
                )
                room = number_left - gap - (left + gap)
                _text(
                    draw,
                    (left + gap, top + row / 2),
                    shortened(label, letters, room),
                    letters,
                    "lm",
                )
                top += row + gap // 2
        return np.asarray(image)

    def _timeline(self, width: int, unit: int, moment: Moment) -> UInt8:
        """The segments in their classes' colours, and where in time the frame is."""
        strip, gap = round(1.4 * unit), max(2, unit // 3)
        height = strip + 3 * gap + unit
        image = Image.new("RGB", (width, height), _BACKGROUND)
        draw = ImageDraw.Draw(image)
        first, last = moment.span
        left, right = gap, width - gap - 1

        def place(time: float) -> float:
            share = (time - first) / max(1e-9, last - first)
            return left + (right - left) * min(1.0, max(0.0, share))

        top, bottom = gap, gap + strip
        draw.rectangle((left, top, right, bottom), fill=_RAISED)
        letters = font(round(0.9 * unit))
        for segment in moment.segments:
            if segment.end <= first or segment.start >= last:
                continue
            start, end = place(segment.start), place(segment.end)
            colour = self._colours.get(segment.label, _DIM)
            draw.rectangle((start, top, max(start + 1, end - 1), bottom), fill=colour)
            word = shortened(segment.label, letters, end - start - 2 * gap)
            if len(word) > 2:
                draw.text((start + gap, (top + bottom) / 2), word, _TEXT, letters, anchor="lm")
        cursor = place(moment.time)
        ahead = image.crop((round(cursor), top, right + 1, bottom + 1))
        ahead = Image.blend(ahead, Image.new("RGB", ahead.size, _BACKGROUND), _AHEAD)
        image.paste(ahead, (round(cursor), top))
        thick = max(1, unit // 8)
        draw.rectangle((cursor - thick, top - gap, cursor + thick, bottom + gap), fill=_TEXT)
        low = bottom + gap + unit * 0.55
        small = font(round(0.8 * unit))
        draw.text((left, low), clock(first), _DIM, small, anchor="lm")
        draw.text((right, low), clock(last), _DIM, small, anchor="rm")
        half = small.getlength(clock(moment.time)) / 2
        ends = 2 * gap + max(small.getlength(clock(time)) for time in moment.span)
        middle = min(max(cursor, left + ends + half), right - ends - half)
        draw.text((middle, low), clock(moment.time), _TEXT, small, anchor="mm")
        return np.asarray(image)


def colour_of(number: int) -> _Colour:
    """The colour of a class by its number, dark enough for white text."""
    if number < len(_FIRST_COLOURS):
        return _FIRST_COLOURS[number]
    hue = round(180 * (number * _GOLDEN_ANGLE % 1)) % 180
    hsv = np.array([[[hue, 140 + 50 * (number % 2), 150 + 15 * (number % 3)]]], np.uint8)
    red, green, blue = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def clock(seconds: float) -> str:
    """`1:02.5`, from an hour on `1:00:02.5`."""
    tenths = round(10 * max(0.0, seconds))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{whole}:{rest // 10:02}.{rest % 10}"


def _enlarged(rgb: UInt8) -> UInt8:
    """A copy that is drawn into, enlarged where it is small."""
    factor = max(1, round(_SHORT_SIDE / min(rgb.shape[:2])))
    if factor == 1:
        return rgb.copy()
    size = (rgb.shape[1] * factor, rgb.shape[0] * factor)
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC))


def _even(picture: UInt8) -> UInt8:
    """The last row or column again where their number is odd."""
    high, wide = picture.shape[0] % 2, picture.shape[1] % 2
    return np.pad(picture, ((0, high), (0, wide), (0, 0)), "edge") if high or wide else picture


def _text(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    letters: ImageFont.FreeTypeFont,
    anchor: str,
) -> float:
    """Draw text, and where it begins from the left."""
    draw.text(place, text, _TEXT, letters, anchor=anchor)
    return place[0] - (letters.getlength(text) if anchor[0] == "r" else 0)
