"""Letters that only motion shows: no frame holds them, and the flow does.

Noise moves across the picture one way, and within a letter the other way. Both are windows onto
canvases of white noise, drawn independently, and each pixel of a frame shows the one or the other. So
every frame is white noise whatever the letter, and cannot tell anything of it; two frames in a row do.

The noise moves by whole pixels, because between pixels it would be blurred. One direction out of four is
drawn for each video, so that the direction tells nothing. The videos are compressed without loss, because
an encoder that follows the motion would leave the letter in its errors.

The idea is that of the random-dot kinematogram (Braddick, "A short-range process in apparent motion",
Vision Research 14, 1974), with letters in it as in "Time Blindness: Why Video-Language Models Can't See
What Humans Can?" (arXiv:2505.24867, 2025).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from flowcache import algorithms
from flowcache.errors import UserError
from flowcache.show.colour import enlarge, flow_to_color
from flowcache.show.files import write_png, write_video
from flowcache.types import UInt8
from twostream.demo._contact_sheet import frame_and_flow, table, video_of
from twostream.demo._demo_set import DemoSet, check_numbers, numbered

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
DIGITS = tuple("0123456789")
SHAPES = ("circle", "cross", "diamond", "ring", "square", "star", "triangle")

# What is told to the commands for these videos. A mirrored letter is no letter, so nothing is flipped. A
# smaller picture is less noisy, and the few layers of `tiny` see more of a letter in it. One clip in the
# test is enough, since it has ten of the eleven fields.
SIZE, RESIZE, CROP = 96, 64, 56
EPOCHS, LEARNING_RATE = 24, 0.005

RATE = 25
GROUPS = 16
_CONTRAST = 30  # the deviation of the noise, of 256 gray levels
_LOSSLESS = "ffv1"
_TURN = 8  # degrees to both sides at the most; an N that is turned by 90 is a Z
_OUTLINE = 256  # a letter is drawn about this high, and then brought to its place
_STROKE = 60  # of a letter of that height


def render(
    folder: Path,
    *,
    classes: Sequence[str] = LETTERS,
    videos_per_class: int = 32,
    frames: int = 12,
    size: int = SIZE,
    seed: int = 0,
) -> None:
    """Write `folder/<class>/<class>_gNN_cMM.avi` at 25 frames a second.

    classes: any of LETTERS, DIGITS and SHAPES.
    videos_per_class: spread over 16 groups. In each group the letter has a place, height and turn of
        its own; each video has its own noise and direction.
    frames: of each video.
    size: height and width in pixels, even.
    With one version of OpenCV, which draws the letters, the same arguments give the same files. UserError
    for numbers that make no such video, and for a class that is not known.
    """
    check_numbers(videos_per_class, frames, size, 64)
    known = (*LETTERS, *DIGITS, *SHAPES)
    if unknown := [name for name in classes if name not in known]:
        raise UserError(
            f"there is no letter, digit or shape {unknown[0]!r}: choose from {', '.join(known)}",
            "classes",
        )
    for name in classes:
        number, outline = known.index(name), _outline(name)
        for video, group, path in numbered(folder, name, videos_per_class, GROUPS):
            mask = _placed(outline, size, np.random.default_rng([seed, number, group]))
            rng = np.random.default_rng([seed, number, GROUPS + video])
            write_video(path, _draw(mask, frames, rng), RATE, _LOSSLESS)


def _outline(name: str) -> UInt8:
    """A letter, digit or shape, uint8 (h, w), 255 on 0, without a margin."""
    picture = np.zeros((3 * _OUTLINE, 3 * _OUTLINE), np.uint8)
    if name in SHAPES:
        _draw_shape(picture, name)
    else:
        face, scale = cv2.FONT_HERSHEY_SIMPLEX, _OUTLINE / 21  # capitals are 21 units high
        cv2.putText(picture, name, (_OUTLINE, 2 * _OUTLINE), face, scale, 255, _STROKE)
    rows, columns = (np.flatnonzero(picture.any(axis)) for axis in (1, 0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _draw_shape(picture: UInt8, name: str) -> None:
    middle, radius, half = len(picture) // 2, _OUTLINE // 2, _STROKE // 2

    def polygon(corners: int, first: float = -90, inner: float = 1) -> None:
        """first: the angle of a corner, in degrees. inner: the radius of every second one."""
        angles = np.radians(first + 360 / corners * np.arange(corners))
        reach = radius * np.where(np.arange(corners) % 2, inner, 1)
        points = middle + np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)
        cv2.fillPoly(picture, [np.rint(points).astype(np.int32)], 255)

    match name:
        case "circle":
            cv2.circle(picture, (middle, middle), radius, 255, -1)
        case "ring":
            cv2.circle(picture, (middle, middle), radius - half, 255, _STROKE)
        case "cross":
            for x, y in ((radius, half), (half, radius)):
                corners = (middle - x, middle - y), (middle + x, middle + y)
                cv2.rectangle(picture, *corners, 255, -1)
        case "diamond":
            polygon(4)
        case "square":
            polygon(4, first=45)
        case "star":
            polygon(10, inner=0.4)
        case "triangle":
            polygon(3)


def _placed(outline: UInt8, size: int, rng: np.random.Generator) -> UInt8:
    """A letter as all videos of a group show it: uint8 (size, size), 1 within it and 0 outside."""
    height, width = outline.shape
    scale = rng.uniform(0.52, 0.68) * size / max(height, width)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-_TURN, _TURN), scale)
    x, y = rng.uniform(-0.06, 0.06, 2) * size
    matrix[:, 2] += (size - width) / 2 + x, (size - height) / 2 + y
    return np.asarray(cv2.warpAffine(outline, matrix, (size, size)) > 127, np.uint8)


def _draw(mask: UInt8, frames: int, rng: np.random.Generator) -> Iterator[UInt8]:
    """The frames of one video, uint8 (H, W, 3), of a mask (H, W)."""
    axis, forward = rng.integers(0, 2, 2).tolist()
    # Each canvas is longer by what passes, so that the noise that enters is new.
    shape = list(mask.shape)
    shape[axis] += frames - 1
    noise = 128 + _CONTRAST * rng.standard_normal((2, *shape), np.float32)
    behind, within = np.clip(np.rint(noise), 0, 255).astype(np.uint8)
    for time in range(frames):
        window = np.arange(mask.shape[axis])
        there, back = window + time, window + frames - 1 - time
        moves = (there, back) if forward else (back, there)
        gray = np.where(mask, within.take(moves[0], axis), behind.take(moves[1], axis))
        yield gray[..., None].repeat(3, axis=2)


def contact_sheet(folder: Path, output: Path, *, classes: Sequence[str] = "MOTION") -> None:
    """Draw a frame of each of some classes, and below it its flow, as PNG.

    Of a class's first video, and of its next where the class is named again. The flow is TV-L1's, from
    the middle frame to the next; a margin of a twelfth is left out. UserError where a class has too
    few videos in `folder`, or one cannot be read.
    """
    flow = algorithms.create("tvl1")
    scale = 1.2  # pixels that are fully saturated; the noise moves by one
    columns = []
    for number, name in enumerate(classes):
        rgb, field = frame_and_flow(video_of(folder / name, classes[:number].count(name)), flow)
        columns.append([_enlarged(picture) for picture in (rgb, flow_to_color(field, scale))])
    rows = list(zip(*columns, strict=True))
    write_png(output, table(rows, ("frame", "flow"), (), scale))


def _enlarged(picture: UInt8) -> UInt8:
    margin = len(picture) // 12
    middle = picture[margin:-margin, margin:-margin]
    return enlarge(middle, max(1, round(160 / len(middle))))


def create() -> DemoSet:
    """The set as `twostream demo --set motion` renders it and learns from it."""
    return DemoSet(
        render=render,
        contact_sheet=contact_sheet,
        extract=f"--size {SIZE}",
        train=f"--model tiny --option dropout=0 --crop {CROP} --resize {RESIZE} --no-flip "
        f"--epochs {EPOCHS} --learning-rate {LEARNING_RATE} --label-smoothing 0 --clips 1",
        finding="No frame shows a letter and the flow shows them all: the spatial stream guesses, one in "
        "26 is right by chance, and what the temporal stream knows is motion alone.",
    )
