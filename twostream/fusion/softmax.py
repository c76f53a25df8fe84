"""Average of softmax scores: Simonyan & Zisserman 2014, "Two-Stream Convolutional Networks", 3.2."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from twostream.scoring.scores import Scores


def create(*, weights: Mapping[str, float]) -> Callable[[Sequence[Scores]], Scores]:
    """A rule for aligned scores whose names are the keys of `weights`.

    The fused logits are the logarithms of the averaged probabilities: their softmax is the average.
    """

    def fuse(streams: Sequence[Scores]) -> Scores:
        shares = np.array([weights[s.name] for s in streams]) / sum(weights.values())
        probabilities = np.tensordot(shares, [s.softmax().astype(np.float64) for s in streams], 1)
        # A probability that underflowed to 0 in every stream must stay a number.
        logits = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
        return replace(streams[0], name="fused", logits=logits.astype(np.float32))

    return fuse
