"""Flow as colour, and frames beside their flow.

The colours are those of Baker, Scharstein, Lewis, Roth, Black, Szeliski, "A Database and Evaluation
Methodology for Optical Flow", IJCV 92, 2011 (doi:10.1007/s11263-010-0390-2), figure 7: the hue is
the direction, the saturation is the length.
"""

from itertools import pairwise

import cv2
import numpy as np

from flowcache.types import Float32, UInt8

_UNKNOWN = 1e9  # Middlebury's files mark a vector that is not known by something larger
_GAP = 4


def _wheel() -> Float32:
    """The 55 fully saturated hues, float32 (55, 3), RGB in 0..1, from red on.

    Six ramps between pure colours; each is as long as its part of the circle has hues that the eye
    can tell apart.
    """
    stops = np.array(
        [(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0)], np.float32
    )
    lengths = (15, 6, 4, 11, 13, 6)
    ramps = [
        start + (end - start) * (np.arange(length, dtype=np.float32)[:, None] / length)
        for (start, end), length in zip(pairwise(stops), lengths, strict=True)
    ]
    return np.concatenate(ramps)


_WHEEL = _wheel()


def flow_to_color(flow: Float32, scale: float) -> UInt8:
    """A displacement field in the Middlebury colours.

    flow: float32 (2, H, W), pixels, x right and y down. scale: the length in pixels that is fully
    saturated. Returns uint8 (H, W, 3), RGB: white where nothing moves, darker by a quarter where
    the length is beyond the scale, black where the flow is not known (NaN or above 1e9). ValueError
    for another shape, or a scale that is not above 0.
    """
    if flow.ndim != 3 or flow.shape[0] != 2:
        raise ValueError(f"a displacement field must be (2, H, W), not {flow.shape}")
    if not scale > 0:
        raise ValueError(f"a scale of {scale} px is not above 0")
    known = np.all(np.abs(flow) <= _UNKNOWN, axis=0)  # a NaN compares as false
    dx, dy = np.where(known, flow, 0).astype(np.float32) / np.float32(scale)
    length = np.hypot(dx, dy)[..., None]
    # Red is to the right, and the hues go clockwise on the screen. Adding 0 turns −0 into 0: its
    # sign would send the arc tangent to the other end of the wheel.
    turn = (np.arctan2(-(dy + 0), -(dx + 0)) / np.float32(np.pi) + 1) / 2
    place = turn * np.float32(len(_WHEEL) - 1)
    first = place.astype(np.intp)
    share = (place - first)[..., None]
    hue = (1 - share) * _WHEEL[first] + share * _WHEEL[(first + 1) % len(_WHEEL)]
    color = np.where(length <= 1, 1 - length * (1 - hue), 0.75 * hue)
    return np.asarray(np.floor(255 * color * known[..., None]), np.uint8)


def legend(scale: float, size: int) -> UInt8:
    """The wheel, its rim `scale` pixels from its centre, with that length written beside it.

    size: the height in pixels. Returns uint8 (size, W, 3) on white, wide enough for the text.
    """
    wheel = _disc(scale, size)
    text, face, thickness = f"{scale:.3g} px", cv2.FONT_HERSHEY_SIMPLEX, 1 + size // 120
    height = max(0.3, size / 130)
    (text_width, text_height), _ = cv2.getTextSize(text, face, height, thickness)
    label = np.full((size, text_width + size // 8, 3), 255, np.uint8)
    place = (0, (size + text_height) // 2)
    cv2.putText(label, text, place, face, height, (40, 40, 40), thickness, cv2.LINE_AA)
    return np.concatenate([wheel, label], axis=1)


def _disc(scale: float, size: int) -> UInt8:
    """The wheel alone, uint8 (size, size, 3), with a margin of a sixteenth of the size."""
    radius = size * (1 / 2 - 1 / 16)
    offset = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) * np.float32(scale / radius)
    flow = np.stack(np.meshgrid(offset, offset))
    inside = np.hypot(*flow) <= scale
    picture = np.where(inside[..., None], flow_to_color(flow, scale), np.uint8(255))
    # A thin line hides the steps of the rim. OpenCV is given sixteenths of a pixel here.
    centre = round((size / 2 - 0.5) * 16)
    cv2.circle(
        picture, (centre, centre), round(radius * 16), (110, 110, 110), 1, cv2.LINE_AA, shift=4
    )
    return picture


def side_by_side(rgb: UInt8, flow: Float32, scale: float) -> UInt8:
    """A frame, and to its right its flow in colour with the legend in the lower right corner.

    rgb: uint8 (H, W, 3). flow: float32 (2, H, W), pixels. scale: see `flow_to_color`. Returns uint8
    (H', W', 3) with even sides, as video codecs want them; small pictures are enlarged by a whole
    factor, so that the legend can be read.
    """
    factor = max(1, round(256 / min(rgb.shape[:2])))
    left, right = (enlarge(picture, factor) for picture in (rgb, flow_to_color(flow, scale)))
    key = legend(scale, max(40, min(right.shape[:2]) // 5))
    # In a very narrow picture the number is cut off, and the wheel only where it does not fit.
    height, width = (min(a, b) for a, b in zip(key.shape[:2], right.shape[:2], strict=True))
    right[-height:, -width:] = key[:height, :width]
    gap = np.full((len(left), _GAP, 3), 255, np.uint8)
    picture = np.concatenate([left, gap, right], axis=1)
    return np.concatenate([picture, picture[-1:]]) if len(picture) % 2 else picture


def enlarge(picture: UInt8, factor: int) -> UInt8:
    """Each pixel as a square of `factor` × `factor`, so that the pixels stay what they are."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)
