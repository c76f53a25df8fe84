"""Average of softmax scores with a share for each stream and class.

One stream may tell one class and another stream another: appearance tells a horse race, motion a punch.
With K classes there are K times as many shares as streams, so they are held close to the common ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from twostream.fusion._pooling import Floats, fused, in_order, log_probabilities
from twostream.scoring.scores import Scores

_SPREAD = 0.25
"""Standard deviation of the prior on the logarithm of a share over the common share."""


@dataclass(frozen=True)
class PerClass:
    """The rule with a share (R, K) for each of the streams named and each class."""

    names: Sequence[str]
    classes: Sequence[str]
    shares: Floats

    @property
    def parameters(self) -> dict[str, Any]:
        """What was fitted."""
        return {
            "shares by class": {
                label: dict(zip(self.names, column.tolist(), strict=True))
                for label, column in zip(self.classes, self.shares.T, strict=True)
            }
        }

    def __call__(self, streams: Sequence[Scores]) -> Scores:
        """The averages of each class's probabilities, divided by their sum."""
        each = np.exp([log_probabilities(one) for one in in_order(streams, self.names)])
        pooled = (self.shares[:, None] * each).sum(0)
        return fused(streams, np.log(np.maximum(pooled, np.finfo(np.float64).tiny)))


def create(*, weights: Mapping[str, float], held_out: Sequence[Scores]) -> PerClass:
    """A rule for aligned scores whose names are the keys of `weights`, the common shares.

    The share of stream r for class k is proportional to weights[r] × exp(t[r, k]), where t maximises the
    likelihood of the labels in `held_out` under a normal prior around 0. A weight of 0 stays 0.
    """
    names = [one.name for one in held_out]
    common = np.array([weights[name] for name in names], np.float64)[:, None]
    each = np.exp([log_probabilities(one) for one in held_out])
    away = _fit(common, each, held_out[0].labels)
    return PerClass(names, held_out[0].classes, _shares(common, away))


def _shares(common: Floats, away: Floats) -> Floats:
    powers = common * np.exp(away)
    return np.asarray(powers / powers.sum(0))


def _fit(common: Floats, each: Floats, labels: np.ndarray) -> Floats:
    """The logarithms t (R, K) for the probabilities (R, N, K)."""
    streams, videos, classes = each.shape
    truth = np.eye(classes)[labels]

    def cost(flat: Floats) -> tuple[float, Floats]:
        away = flat.reshape(streams, classes)
        shares = _shares(common, away)[:, None]
        parts = shares * each
        pooled = np.maximum(parts.sum(0), np.finfo(np.float64).tiny)
        sums = pooled.sum(1)
        value = np.log(sums).sum() - np.log(pooled[np.arange(videos), labels]).sum()
        error = pooled / sums[:, None] - truth
        slope = (error * (parts / pooled - shares)).sum(1) + away / _SPREAD**2
        return float(value + (away**2).sum() / 2 / _SPREAD**2), slope.ravel()

    start = np.zeros(streams * classes)
    found = minimize(cost, start, jac=True, method="L-BFGS-B").x
    return np.asarray(found).reshape(streams, classes)
