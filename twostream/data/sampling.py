"""Which frames (or fields) make a clip: pure functions of numbers.

Frames have times, in rising order: 0, 1, 2, … where a clip's frames are so many frames apart, seconds
where they are so many seconds apart. The frames of a clip are those nearest to equally spaced times. A
video shorter than a clip is looped: after its last frame comes its first again.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Times = npt.NDArray[np.int64] | npt.NDArray[np.float64]


def random_clips(
    times: Times, length: int, spacing: float, segments: int, rng: np.random.Generator
) -> Indices:
    """A clip at a uniformly random start in each of equal segments: (segments, length).

    times: of all frames. spacing: between the frames of a clip, in the unit of the times. Of a video with
    fewer possible starts than segments some repeat. Raises ValueError where there is no clip to cut.
    """
    starts = _last_start(times, length, spacing) + 1
    edges = [segment * starts // segments for segment in range(segments + 1)]
    drawn = [int(rng.integers(first, max(first + 1, end))) for first, end in pairwise(edges)]
    return np.stack([_clip(start, times, length, spacing) for start in drawn])


def even_clips(times: Times, length: int, spacing: float, clips: int) -> Indices:
    """Evenly spaced clips from the first possible to the last: (clips, length).

    A single clip is the middle one; where there are fewer starts than clips, some repeat. The rest is as
    in `random_clips`.
    """
    last = _last_start(times, length, spacing)
    starts = np.linspace(0, last, clips) if clips > 1 else np.array([last / 2])
    return np.stack([_clip(int(start), times, length, spacing) for start in np.floor(starts)])


def _last_start(times: Times, length: int, spacing: float) -> int:
    """The last frame from which a clip reaches no further than half a frame past the last one."""
    if min(len(times), length) < 1 or spacing <= 0:
        raise ValueError(f"no clip of {length}, {spacing} apart, from {len(times)}")
    latest = times[-1] + _period(times) / 2 - (length - 1) * spacing
    return max(0, int(np.searchsorted(times, latest, "right")) - 1)


def _clip(start: int, times: Times, length: int, spacing: float) -> Indices:
    period = _period(times)
    since_first = times[start] - times[0] + np.arange(length) * spacing
    loop = times[-1] - times[0] + period
    # Up to half a period before the end of the loop the last frame is the nearest, then the first is.
    wrapped = (since_first + period / 2) % loop - period / 2
    middles = (times[1:] + times[:-1]) / 2 - times[0]
    nearest: Indices = np.searchsorted(middles, wrapped, "right").astype(np.int64)
    return nearest


def _period(times: Times) -> float:
    """The mean distance of neighbouring frames; of a single frame any will do."""
    return float(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 1.0
