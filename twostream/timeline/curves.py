"""What a network says along a video: logits of clips, averaged in windows of time."""

from array import array

import numpy as np

from flowcache.types import Float32, Float64
from twostream.prediction.networks import Network
from twostream.runs.training_options import Average
from twostream.scoring.clip_average import ClipAverage
from twostream.timeline.rolling import Rolling

_SLACK = 1e-6
"""Seconds. A hop is often a whole number of frames, and times of frames are not exact."""


class Curve:
    """One network's logits of clips that begin and end ever later."""

    def __init__(self, network: Network, hop: float, crops: int) -> None:
        """hop: seconds from clip to clip. crops: of each clip, 1, 3 or 10."""
        self.network, self._hop, self._crops = network, hop, crops
        self._due, self._last = -np.inf, -np.inf
        # Arrays that grow in one piece: small ones that stay, between large ones that come and go, would
        # keep the memory of these from being used again.
        self._middles, self._logits = array("d"), array("f")

    def __len__(self) -> int:
        """How many clips there are so far."""
        return len(self._middles)

    def follow(self, rolling: Rolling) -> None:
        """A frame was added: cut the clip that ends with it, where it is time for one."""
        spec = self.network.spec
        time = rolling.newest_time
        if time < self._due - _SLACK or not rolling.holds(spec.clip, spec.values):
            return
        # Counted from the first clip, so that hops which are no whole number of frames do not add up.
        first = time if self._due == -np.inf else self._due
        self._due = first + self._hop * (1 + (time + _SLACK - first) // self._hop)
        self._cut(rolling)

    def finish(self, rolling: Rolling) -> None:
        """The video has ended: cut its last clip, which is looped where the video is shorter."""
        if self._last < rolling.newest_time:
            self._cut(rolling)

    def _cut(self, rolling: Rolling) -> None:
        spec = self.network.spec
        clip = rolling.clip(spec.clip, spec.values, self._crops)
        start, self._last = rolling.seconds(spec.clip, spec.values)
        self._middles.append((start + self._last) / 2)
        self._logits.frombytes(self.network.logits(clip).astype(np.float32).tobytes())

    def windowed(self, centres: Float64, window: float, average: Average) -> Float32:
        """The mean over the clips whose middles are within half a window of each centre: (N, K).

        Where there is none it is the nearest clip. average: as `scoring.clip_average` has it.
        """
        middles = np.array(self._middles)
        logits = np.array(self._logits, np.float32).reshape(len(middles), self._crops, -1)
        mean = ClipAverage(len(centres), average)
        for number, centre in enumerate(centres.tolist()):
            near = logits[_within(middles, centre, window)]
            views = near.reshape(-1, near.shape[-1])
            mean.add(views, np.full(len(views), number))
        return mean.result()


def _within(middles: Float64, centre: float, window: float) -> slice:
    half = window / 2 + _SLACK
    first = int(np.searchsorted(middles, centre - half, "left"))
    end = int(np.searchsorted(middles, centre + half, "right"))
    if first < end:
        return slice(first, end)
    nearest = int(np.abs(middles - centre).argmin())
    return slice(nearest, nearest + 1)
