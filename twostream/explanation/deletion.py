"""Whether a map is right: what it marks is taken away, and the probability has to fall.

Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
the metric "deletion".
"""

from dataclasses import dataclass

import numpy as np

from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.explanation.removal import keep_only, log_probability
from twostream.prediction.networks import BATCH, Network


@dataclass(frozen=True)
class DeletionCurve:
    """How a class's probability falls."""

    removed: Float32
    """(S + 1,), the share of the clip's pixels that is gone, from 0 to 1."""

    probability: Float32
    """(S + 1,), of the class."""

    @property
    def area(self) -> float:
        """The mean probability over the share that is removed: the lower, the better the map."""
        steps = np.diff(self.removed)
        middles = (self.probability[1:] + self.probability[:-1]) / 2
        return float((steps * middles).sum())


def deletion_curve(
    network: Network, clip: Clip, map: Float32, label: int, steps: int = 20
) -> DeletionCurve:
    """Remove the pixels of a clip in the order of a map, the highest first.

    clip: of one view, (1, T, C, H, W). map: (T, H, W). label: the number of a class. steps: so many equal
    parts are removed one after another; a pixel that is removed has the mean of its plane, see
    `removal.keep_only`. Pixels of one value go from left to right and from top to bottom.
    """
    order = np.argsort(-map, axis=None, kind="stable")
    counts = np.linspace(0, map.size, steps + 1).round().astype(int)
    probability: list[float] = []
    for first in range(0, len(counts), BATCH):
        several = counts[first : first + BATCH]
        kept = np.ones((len(several), map.size), np.float32)
        for row, count in zip(kept, several, strict=True):
            row[order[:count]] = 0
        left = keep_only(clip, kept.reshape(-1, *map.shape))
        probability += np.exp(log_probability(network, left, label)).tolist()
    removed = np.asarray(counts / map.size, np.float32)
    return DeletionCurve(removed, np.asarray(probability, np.float32))
