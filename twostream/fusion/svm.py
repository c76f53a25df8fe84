"""Linear support vector machine on stacked scores: Simonyan & Zisserman 2014, section 2.

"A multi-class linear SVM on stacked L2-normalised softmax scores as features", by the method of Crammer &
Singer 2001; the better of the paper's two late fusions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twostream.fusion._learnt import fit, require_every_class
from twostream.fusion._pooling import Floats, fused, in_order
from twostream.scoring.scores import Scores

GIVES_PROBABILITIES = False
"""The softmax of what it gives is no probability, so it has no likelihood and no calibration."""


@dataclass(frozen=True)
class SupportVectorMachine:
    """The rule with the names of the streams in the order in which they are stacked."""

    names: Sequence[str]
    model: Any = field(repr=False)

    def __call__(self, streams: Sequence[Scores]) -> Scores:
        """What the machine gives each class.

        It orders the classes. The softmax of it is no calibrated probability.
        """
        values = self.model.decision_function(_features(in_order(streams, self.names)))
        if values.ndim == 1:  # of two classes only the difference is given
            values = np.stack([-values / 2, values / 2], 1)
        return fused(streams, values)


def create(*, held_out: Sequence[Scores]) -> SupportVectorMachine:
    """A rule for aligned scores with the names of those in `held_out`, on which it is trained.

    The cost is scikit-learn's usual C = 1, as the paper names none. Raises ScoresError where a class has
    no video in `held_out`.
    """
    from sklearn.svm import LinearSVC

    require_every_class("svm", held_out[0])
    model = LinearSVC(multi_class="crammer_singer", tol=0.01, random_state=0, max_iter=100_000)
    fit(model, _features(held_out), held_out[0].labels)
    return SupportVectorMachine([one.name for one in held_out], model)


def _features(streams: Sequence[Scores]) -> Floats:
    """Each stream's softmax scores divided by their Euclidean norm, side by side: (N, R × K)."""
    each = [one.softmax().astype(np.float64) for one in streams]
    return np.hstack([one / np.linalg.norm(one, axis=1, keepdims=True) for one in each])
