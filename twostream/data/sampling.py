"""Which frames (or fields) make a clip: pure functions of numbers.

A video with fewer than a clip spans is looped: after its last frame comes its first again.
"""

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def random_clip(available: int, length: int, stride: int, rng: np.random.Generator) -> Indices:
    """One clip at a uniformly random start: (length,) numbers from 0 to available − 1."""
    return _clip(
        int(rng.integers(0, _last_start(available, length, stride) + 1)), available, length, stride
    )


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
