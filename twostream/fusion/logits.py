"""Average of logits, as TSN (Wang et al. 2016) and I3D (Carreira & Zisserman 2017) add them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from twostream.fusion._pooling import fused, share_array
from twostream.scoring.scores import Scores


def create(*, weights: Mapping[str, float]) -> Callable[[Sequence[Scores]], Scores]:
    """A rule for aligned scores whose names are the keys of `weights`."""

    def fuse(streams: Sequence[Scores]) -> Scores:
        each = np.array([one.logits for one in streams], np.float64)
        return fused(streams, (share_array(streams, weights) * each).sum(0))

    return fuse
