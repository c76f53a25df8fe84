"""Crop, scale and flip: one decision for a whole clip, made apart from its execution."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from flowcache.types import Float32
from twostream.data.streams import Integers, Stream


@dataclass(frozen=True)
class View:
    """A square or rectangle of the stored picture, in its pixels, perhaps mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False


def random_view(
    height: int,
    width: int,
    size: int,
    scales: Sequence[float],
    flip: bool,
    rng: np.random.Generator,
) -> View:
    """A square at a random place, mirrored half of the time where `flip`.

    Its side is `size`, or the whole short side of a smaller picture; with `scales`, it is one of these
    shares of the short side (Wang et al. 2016, "Temporal Segment Networks", section 3.2).
    """
    short = min(height, width)
    side = max(1, round(short * rng.choice(scales))) if len(scales) else min(size, short)
    top, left = (int(rng.integers(0, extent - side + 1)) for extent in (height, width))
    return View(top, left, side, side, bool(flip and rng.random() < 0.5))


def fixed_views(height: int, width: int, size: int, crops: int) -> list[View]:
    """The centre (1), or the four corners and the centre, each also mirrored (10)."""
    side = min(size, height, width)
    bottom, right = height - side, width - side
    centre = (bottom // 2, right // 2)
    if crops == 1:
        return [View(*centre, side, side)]
    if crops != 10:
        raise ValueError(f"{crops} crops: 1 or 10")
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), centre]
    return [View(*place, side, side, mirrored) for mirrored in (False, True) for place in places]


def apply_view(clip: Integers, view: View, size: int, stream: Stream) -> tuple[Integers, Float32]:
    """Cut a view out of a clip (T, C, H, W) → (T, C, size, size) of the same type, and its gain.

    The gain (C,) is what the values must be multiplied by to be true of the new picture: a mirrored
    displacement changes the sign of dx, a resized one grows. Kept apart, so that integers never clip.
    """
    clip = clip[:, :, view.top : view.top + view.height, view.left : view.left + view.width]
    gain = np.ones(stream.channels, np.float32)
    if (view.height, view.width) != (size, size):
        clip = _resize(clip, size)
        if stream.is_displacement:
            gain *= np.array([size / view.width, size / view.height], np.float32)
    if view.mirrored:
        clip = clip[..., ::-1]
        gain *= np.array(stream.mirror, np.float32)
    return clip, gain


def _resize(clip: Integers, size: int) -> Integers:
    t, c, h, w = clip.shape
    planes = clip.reshape(t * c, h, w).astype(np.float32)
    # Averaging when it shrinks, so that fine texture does not alias; interpolation when it grows.
    method = cv2.INTER_AREA if min(h, w) > size else cv2.INTER_LINEAR
    resized = [cv2.resize(plane, (size, size), interpolation=method) for plane in planes]
    return np.rint(np.stack(resized)).astype(clip.dtype).reshape(t, c, size, size)
