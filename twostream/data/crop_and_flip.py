"""Crop, scale and flip: one decision for a whole clip, made apart from its execution."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from flowcache.types import Float32
from twostream.data.clip_spec import ClipSpec
from twostream.data.streams import Integers, Stream


@dataclass(frozen=True)
class View:
    """A square or rectangle of the stored picture, in its pixels, perhaps mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False


def random_view(height: int, width: int, spec: ClipSpec, rng: np.random.Generator) -> View:
    """A square or rectangle at a random place, mirrored half of the time where `spec.flip`.

    The place is any, or with `spec.corners` one of the corners or the centre, such that the picture's
    middle is not seen more often than its edges (Wang et al. 2016, section 3.2).
    By default it is as large as at test time. With `spec.scales` its sides are shares of the short side,
    drawn each by itself but at most one step of that list apart, so that the proportions change a little
    (Wang et al. 2016, "Temporal Segment Networks", section 3.2). With `spec.area` it is a share of the
    whole picture's area (Szegedy et al. 2015, "Going Deeper with Convolutions", section 6).
    """
    if spec.area:
        high, wide = _share_of_area(height, width, spec.area, rng)
    elif spec.scales:
        first = int(rng.integers(len(spec.scales)))
        second = int(np.clip(first + rng.integers(-1, 2), 0, len(spec.scales) - 1))
        short = min(height, width)
        high, wide = (max(1, round(short * spec.scales[n])) for n in (first, second))
    else:
        high = wide = spec.side(height, width)
    bottom, right = height - high, width - wide
    if spec.corners:
        places = _corners_and_centre(bottom, right)
        top, left = places[int(rng.integers(len(places)))]
    else:
        top, left = int(rng.integers(0, bottom + 1)), int(rng.integers(0, right + 1))
    return View(top, left, high, wide, bool(spec.flip and rng.random() < 0.5))


def _share_of_area(
    height: int, width: int, area: Sequence[float], rng: np.random.Generator
) -> tuple[int, int]:
    """Height and width of a share of the area, of a proportion between 3:4 and 4:3."""
    for _ in range(10):
        share = rng.uniform(area[0], area[1]) * height * width
        proportion = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        high, wide = round(np.sqrt(share / proportion)), round(np.sqrt(share * proportion))
        if 0 < high <= height and 0 < wide <= width:
            return high, wide
    return (min(height, width),) * 2  # of a picture so long that no such rectangle lies in it


def _corners_and_centre(bottom: int, right: int) -> list[tuple[int, int]]:
    """Where a crop may lie whose last place is (bottom, right): five pairs (top, left)."""
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]


def fixed_views(height: int, width: int, spec: ClipSpec, crops: int) -> list[View]:
    """The squares of a picture that are looked at in a test; see `ClipSpec.side` for how large they are.

    1: the centre. 3: the two ends and the middle of the longer side, halfway across the shorter one
    (Feichtenhofer et al. 2019, "SlowFast Networks", section 4). 10: the four corners and the centre, each
    also mirrored (Krizhevsky et al. 2012, "ImageNet Classification", section 4.1).

    Raises ValueError for any other number.
    """
    side = spec.side(height, width)
    bottom, right = height - side, width - side
    centre = (bottom // 2, right // 2)
    if crops == 1:
        places = [centre]
    elif crops == 3 and width >= height:
        places = [(centre[0], left) for left in (0, centre[1], right)]
    elif crops == 3:
        places = [(top, centre[1]) for top in (0, centre[0], bottom)]
    elif crops == 10:
        places = _corners_and_centre(bottom, right)
    else:
        raise ValueError(f"{crops} crops: 1, 3 or 10")
    mirrorings = (False, True) if crops == 10 else (False,)
    return [View(*place, side, side, mirrored) for mirrored in mirrorings for place in places]


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
