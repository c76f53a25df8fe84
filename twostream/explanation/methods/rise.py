"""RISE: Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC
2018, section 3.

Parts of the clip are taken away at random again and again, and a place speaks for the class as far as
the class is more probable when it is there. The network is asked for nothing but its logits.

The score is the logarithm of the probability, which also moves where the class is all but certain, and
each mask comes with its opposite. The map is the covariance of that score with a place's being there. The
paper's, the mean score while the place is there, differs from it by a factor and an offset, and by more
noise from few masks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.explanation.maps import enlarge
from twostream.explanation.removal import keep_only, log_probability
from twostream.prediction.networks import BATCH, Network

_FRAMES_OF_CELL = 8


@dataclass(frozen=True, kw_only=True)
class RISE:
    """For any network, also an exported one; as many passes forward as there are masks.

    masks: rounded up to whole batches. grid: cells of a mask along each side of the picture; in time it
    has one for each 8 frames. The masks are the same for every clip of one size.
    """

    masks: int
    grid: int

    def __call__(self, network: Network, clip: Clip, label: int) -> Float32:
        """See `explanation.methods`."""
        shape = (clip.values.shape[1], *clip.values.shape[3:])
        rng = np.random.default_rng(0)
        scores, kept_and_score, kept_sum = [], np.zeros(shape), np.zeros(shape)
        for _ in range(0, self.masks, BATCH):
            kept = np.stack([mask for _ in range(BATCH // 2) for mask in self._pair(shape, rng)])
            score = log_probability(network, keep_only(clip, kept), label)
            kept_and_score += np.tensordot(score, kept, 1)
            kept_sum += kept.sum(0)
            scores.append(score)
        count = len(scores) * BATCH
        mean = np.sum(scores) / count
        return np.asarray((kept_and_score - mean * kept_sum) / count, np.float32)

    def _pair(self, shape: tuple[int, int, int], rng: np.random.Generator) -> Iterator[Float32]:
        """A mask in 0..1 of a shape (T, H, W), and what it leaves out."""
        t, h, w = shape
        times, high, wide = (
            max(1, round(t / _FRAMES_OF_CELL)),
            -(-h // self.grid),
            -(-w // self.grid),
        )
        cells = rng.integers(0, 2, (times, self.grid + 1, self.grid + 1)).astype(np.float32)
        # One cell too many each way, so that the grid can be shifted by less than a cell.
        larger = enlarge(cells, (t, (self.grid + 1) * high, (self.grid + 1) * wide))
        top, left = rng.integers(high), rng.integers(wide)
        mask = larger[:, top : top + h, left : left + w]
        yield mask
        yield 1 - mask


def create(*, masks: int = 256, grid: int = 7) -> RISE:
    """RISE."""
    if min(masks, grid) < 1:
        raise ValueError(f"masks={masks} and grid={grid} must be 1 or more")
    return RISE(masks=masks, grid=grid)
