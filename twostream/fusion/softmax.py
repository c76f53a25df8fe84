"""Average of softmax scores: Simonyan & Zisserman 2014, "Two-Stream Convolutional Networks", 3.2."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.special import logsumexp

from twostream.fusion._pooling import fused, log_probabilities, log_share_array
from twostream.scoring.scores import Scores


def create(*, weights: Mapping[str, float]) -> Callable[[Sequence[Scores]], Scores]:
    """A rule for aligned scores whose names are the keys of `weights`.

    The fused logits are the logarithms of the averaged probabilities: their softmax is the average.
    """

    def fuse(streams: Sequence[Scores]) -> Scores:
        # Summed as logarithms, so that probabilities too small for a number keep their order.
        each = np.array([log_probabilities(one) for one in streams])
        return fused(streams, logsumexp(log_share_array(streams, weights) + each, axis=0))

    return fuse
