"""Maximum of probabilities: the max rule of Kittler et al. 1998, "On Combining Classifiers".

The stream that is surest of a class speaks for it, so a stream that is sure of its mistakes rules.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from twostream.fusion._pooling import fused, log_probabilities, log_share_array
from twostream.scoring.scores import Scores


def create(*, weights: Mapping[str, float]) -> Callable[[Sequence[Scores]], Scores]:
    """A rule for aligned scores whose names are the keys of `weights`.

    Of each class the largest weighted probability counts; together they are divided by their sum.
    """

    def fuse(streams: Sequence[Scores]) -> Scores:
        each = np.array([log_probabilities(one) for one in streams])
        return fused(streams, (log_share_array(streams, weights) + each).max(0))

    return fuse
