"""Log-linear pool with fitted exponents, the rule for a fit on few videos.

The probability of a class is proportional to the product of the streams' probabilities, each raised to an
exponent of its own (Genest & Zidek 1986, "Combining Probability Distributions"). The likelihood of the
exponents is that of a conditional logit (McFadden 1974). They are at once the shares of the streams and
the temperature of the result, so a stream is weighed by what it adds and not by how sure it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from twostream.fusion._calibration import temperature_of
from twostream.fusion._pooling import Floats, fused, in_order, log_probabilities
from twostream.scoring.scores import Scores

_SPREAD = 0.5
"""Standard deviation of the prior on the exponents, around equal shares."""


@dataclass(frozen=True)
class LogLinear:
    """The rule with a temperature and an exponent for each stream, by its name."""

    temperatures: Mapping[str, float]
    exponents: Mapping[str, float]

    @property
    def parameters(self) -> dict[str, Any]:
        """What was fitted."""
        return {"temperatures": dict(self.temperatures), "exponents": dict(self.exponents)}

    def __call__(self, streams: Sequence[Scores]) -> Scores:
        """The weighted sum of the calibrated logarithms of probabilities."""
        logits = sum(
            self.exponents[one.name] * log_probabilities(one, self.temperatures[one.name])
            for one in in_order(streams, list(self.exponents))
        )
        return fused(streams, np.asarray(logits))


def create(*, held_out: Sequence[Scores]) -> LogLinear:
    """A rule for aligned scores with the names of those in `held_out`, on which it is fitted.

    First each stream is calibrated by a temperature, so that all are equally sure of what they know.
    Then the exponents, none below 0, maximise the likelihood of the labels under a normal prior around
    equal shares: a convex problem with one solution.
    """
    temperatures = {one.name: temperature_of(one) for one in held_out}
    each = np.array([log_probabilities(one, temperatures[one.name]) for one in held_out])
    exponents = _fit(each, held_out[0].labels).tolist()
    names = [one.name for one in held_out]
    return LogLinear(temperatures, dict(zip(names, exponents, strict=True)))


def _fit(each: Floats, labels: np.ndarray) -> Floats:
    """The exponents (R,) for the logarithms of probabilities (R, N, K)."""
    equal = 1 / len(each)
    videos = np.arange(len(labels))

    def cost(exponents: Floats) -> tuple[float, Floats]:
        logits = np.tensordot(exponents, each, 1)
        away = exponents - equal
        value = (
            -log_softmax(logits, axis=1)[videos, labels].sum() + (away**2).sum() / 2 / _SPREAD**2
        )
        expected = (softmax(logits, axis=1) * each).sum((1, 2))
        slope = expected - each[:, videos, labels].sum(1) + away / _SPREAD**2
        return float(value), slope

    start = np.full(len(each), equal)
    limits = [(0.0, None)] * len(each)
    return np.asarray(minimize(cost, start, jac=True, bounds=limits, method="L-BFGS-B").x)
