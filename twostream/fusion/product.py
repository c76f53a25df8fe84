"""Product of probabilities: the product rule of Kittler et al. 1998, "On Combining Classifiers".

With equal weights it is naive Bayes under equal priors of the classes: streams that are independent given
the class. The classes are in the same order as under the rule `logits`, whose exponents have the sum 1
and not the mean 1. The product is surer of its first class, and too sure where the streams err together.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from twostream.fusion._pooling import fused, log_probabilities, share_array
from twostream.scoring.scores import Scores


def create(*, weights: Mapping[str, float]) -> Callable[[Sequence[Scores]], Scores]:
    """A rule for aligned scores whose names are the keys of `weights`.

    The exponents are the weights scaled to the mean 1: equal ones give the plain product.
    """

    def fuse(streams: Sequence[Scores]) -> Scores:
        exponents = len(streams) * share_array(streams, weights)
        each = np.array([log_probabilities(one) for one in streams])
        return fused(streams, (exponents * each).sum(0))

    return fuse
