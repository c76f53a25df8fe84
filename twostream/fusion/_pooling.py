"""What the rules share: from scores to arrays, and back to scores."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from twostream.scoring.scores import FUSED, Scores

Floats = npt.NDArray[np.float64]


def log_probabilities(one: Scores, temperature: float = 1.0) -> Floats:
    """The logarithms of the softmax of logits / temperature: (N, K)."""
    logits = one.logits.astype(np.float64) / temperature
    return np.asarray(log_softmax(logits, axis=1), np.float64)


def share_array(streams: Sequence[Scores], weights: Mapping[str, float]) -> Floats:
    """The weight of each stream by its name, divided by their sum: (R, 1, 1), beside (R, N, K)."""
    shares = np.array([weights[one.name] for one in streams], np.float64) / sum(weights.values())
    return shares[:, None, None]


def log_share_array(streams: Sequence[Scores], weights: Mapping[str, float]) -> Floats:
    """Their logarithms: −∞ for a weight of 0."""
    with np.errstate(divide="ignore"):
        return np.log(share_array(streams, weights))


def in_order(streams: Sequence[Scores], names: Sequence[str]) -> list[Scores]:
    """The streams in the order of these names."""
    by_name = {one.name: one for one in streams}
    return [by_name[name] for name in names]


def negative_log_likelihood(logits: Floats, labels: npt.NDArray[np.int64]) -> float:
    """The sum over the videos of −log softmax(logits) at the label, in nats."""
    own = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return float(-own.sum())


def fused(streams: Sequence[Scores], logits: Floats) -> Scores:
    """Scores of the same videos with the joint logits (N, K)."""
    return replace(streams[0], name=FUSED, logits=logits.astype(np.float32))
