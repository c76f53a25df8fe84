"""Which frames (or fields) make a clip: pure functions of numbers.

A video with fewer than a clip spans is looped: after its last frame comes its first again.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def random_clips(
    available: int, length: int, stride: int, segments: int, rng: np.random.Generator
) -> Indices:
    """A clip at a uniformly random start in each of equal segments: (segments, length).

    Numbers are from 0 to available − 1. Of a video with fewer possible starts than segments some repeat.
    """
    starts = _last_start(available, length, stride) + 1
    edges = [segment * starts // segments for segment in range(segments + 1)]
    drawn = [int(rng.integers(first, max(first + 1, end))) for first, end in pairwise(edges)]
    return np.stack([_clip(start, available, length, stride) for start in drawn])


def even_clips(available: int, length: int, stride: int, clips: int) -> Indices:
    """Evenly spaced clips from the first possible to the last: (clips, length).

    A single clip is the middle one; where there are fewer starts than clips, some repeat.
    """
    last = _last_start(available, length, stride)
    starts = np.linspace(0, last, clips) if clips > 1 else np.array([last / 2])
    return np.stack([_clip(int(start), available, length, stride) for start in np.floor(starts)])


def _last_start(available: int, length: int, stride: int) -> int:
    if min(available, length, stride) < 1:
        raise ValueError(f"no clip of {length} with stride {stride} from {available}")
    return max(0, available - ((length - 1) * stride + 1))


def _clip(start: int, available: int, length: int, stride: int) -> Indices:
    return (start + np.arange(length) * stride) % available
