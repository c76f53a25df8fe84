"""Stacking by logistic regression: Wolpert 1992, "Stacked Generalization".

A multinomial logistic regression reads the logarithms of all streams' probabilities, so it may also learn
that one class is mistaken for another. That takes many held-out videos; on few the regularisation rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twostream.fusion._learnt import fit, require_every_class
from twostream.fusion._pooling import Floats, fused, in_order, log_probabilities
from twostream.scoring.scores import Scores

_LEAST = np.log(1e-6)
"""Less likely classes count as this unlikely: the network's tail is no measurement."""

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""scikit-learn's C, from strong to weak regularisation."""

_USUAL = 1e-2
"""Where the groups do not suffice for choosing."""


@dataclass(frozen=True)
class Stacking:
    """The rule with the names of the streams in the order in which they are stacked."""

    names: Sequence[str]
    c: float
    """The inverse of the regularisation's strength."""

    chosen: bool
    """Whether it was chosen by cross-validation over the groups."""

    model: Any = field(repr=False)

    @property
    def parameters(self) -> dict[str, Any]:
        """What was fitted, but for the coefficients."""
        return {"C": self.c, "C was chosen": self.chosen}

    def __call__(self, streams: Sequence[Scores]) -> Scores:
        """The logarithms of the regression's probabilities."""
        return fused(streams, _predict(self.model, _features(in_order(streams, self.names))))


def create(*, held_out: Sequence[Scores]) -> Stacking:
    """A rule for aligned scores with the names of those in `held_out`, on which it is trained.

    The regularisation is chosen by cross-validation over the groups of `held_out`, in up to five folds,
    where each class is in the training part of each; otherwise it is strong. Raises ScoresError where a
    class has no video in `held_out`.
    """
    first = held_out[0]
    require_every_class("stacking", first)
    features, folds = _features(held_out), _folds(first)
    c = _choose(features, first.labels, folds) if folds else _USUAL
    model = fit(_regression(c), features, first.labels)
    return Stacking([one.name for one in held_out], c, bool(folds), model)


def _features(streams: Sequence[Scores]) -> Floats:
    """The logarithms of probabilities, less their mean over the classes, side by side: (N, R × K)."""
    each = [np.maximum(log_probabilities(one), _LEAST) for one in streams]
    return np.hstack([one - one.mean(1, keepdims=True) for one in each])


def _regression(c: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c, max_iter=5000, warm_start=True)


def _predict(model: Any, features: Floats) -> Floats:
    return np.asarray(model.predict_log_proba(features))


def _folds(scores: Scores) -> list[tuple[Any, Any]]:
    """(Training rows, others) of each fold; none where a training part would lack a class."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups, labels = np.array(scores.groups or scores.ids), scores.labels
    of_class = [len(set(groups[labels == k])) for k in np.unique(labels)]
    count = min(5, *of_class)
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    folds = list(splitter.split(labels, labels, groups))
    whole = all(len(set(labels[train])) == len(of_class) and len(rest) for train, rest in folds)
    return folds if whole else []


def _choose(features: Floats, labels: np.ndarray, folds: list[tuple[Any, Any]]) -> float:
    """The C with the least negative log-likelihood over all folds; the stronger of equals."""
    costs = np.zeros(len(_STRENGTHS))
    for train, rest in folds:
        model = _regression(_STRENGTHS[0])
        for number, c in enumerate(_STRENGTHS):  # each starts where the stronger one ended
            fit(model.set_params(C=c), features[train], labels[train])
            logits = _predict(model, features[rest])
            costs[number] -= logits[np.arange(len(rest)), labels[rest]].sum()
    return _STRENGTHS[int(costs.argmin())]
