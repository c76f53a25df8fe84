"""Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2."""

import numpy as np
from scipy.optimize import minimize_scalar

from twostream.fusion._pooling import log_probabilities, negative_log_likelihood
from twostream.scoring.scores import Scores


def temperature_of(held_out: Scores) -> float:
    """The temperature T by which logits are divided so that the labels are most likely.

    A gamma prior on 1 / T, of shape 2 and rate 1, has its mode at T = 1. The likelihood is a sum over the
    videos, so the prior matters little where there are many. Without it, the temperature of a stream
    that is right about each of a few videos would fall to 0.
    """

    def cost(log_inverse: float) -> float:
        inverse = float(np.exp(log_inverse))
        logits = log_probabilities(held_out, 1 / inverse)
        return negative_log_likelihood(logits, held_out.labels) + inverse - log_inverse

    # Both terms are convex in 1 / T, so a search over its logarithm meets one minimum.
    best = minimize_scalar(cost, bounds=(-7.0, 7.0), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(-best.x))
