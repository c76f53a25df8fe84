"""Average of logits, as TSN (Wang et al. 2016) and I3D (Carreira & Zisserman 2017) add them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from twostream.scoring.scores import Scores


def create(*, weights: Mapping[str, float]) -> Callable[[Sequence[Scores]], Scores]:
    """A rule for aligned scores whose names are the keys of `weights`."""

    def fuse(streams: Sequence[Scores]) -> Scores:
        shares = np.array([weights[s.name] for s in streams]) / sum(weights.values())
        logits = np.tensordot(shares, [s.logits.astype(np.float64) for s in streams], 1)
        return replace(streams[0], name="fused", logits=logits.astype(np.float32))

    return fuse
