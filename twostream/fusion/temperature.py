"""Average of calibrated probabilities: each stream is divided by a temperature of its own first.

Late fusion averages probabilities, so a stream that is surer than it is right drowns a better one. Its
temperature (Guo et al. 2017, "On Calibration of Modern Neural Networks", 4.2) takes that back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from twostream.fusion._calibration import temperature_of
from twostream.fusion._pooling import fused, log_probabilities, log_share_array
from twostream.scoring.scores import Scores


@dataclass(frozen=True)
class Temperature:
    """The rule with its weights and temperatures, both by the names of the streams."""

    weights: Mapping[str, float]
    temperatures: Mapping[str, float]

    @property
    def parameters(self) -> dict[str, Any]:
        """What was fitted."""
        return {"temperatures": dict(self.temperatures)}

    def __call__(self, streams: Sequence[Scores]) -> Scores:
        """The weighted average of softmax(logits / temperature)."""
        each = np.array([log_probabilities(s, self.temperatures[s.name]) for s in streams])
        return fused(streams, logsumexp(log_share_array(streams, self.weights) + each, axis=0))


def create(*, weights: Mapping[str, float], held_out: Sequence[Scores]) -> Temperature:
    """A rule for aligned scores whose names are the keys of `weights`.

    The temperature of each stream is that of its own scores in `held_out`.
    """
    return Temperature(weights, {one.name: temperature_of(one) for one in held_out})
