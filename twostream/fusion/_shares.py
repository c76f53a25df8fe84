"""The shares of a rule, fitted on scores of videos that training held back."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from twostream.fusion._pooling import negative_log_likelihood
from twostream.scoring.scores import Scores

_SPREAD = 0.25 * 2**0.5
"""Standard deviation of the prior around equal shares, in any direction that keeps their sum: each of
two shares then has one of 0.25."""

_STEPS = 20
"""Into how many steps two streams' common share is divided when it is distributed anew."""

_ROUNDS = 20
"""After so many rounds over all pairs the shares are taken as they are."""

Rule = Callable[[Sequence[Scores]], Scores]


def fit_shares(
    rule_of: Callable[[Mapping[str, float]], Rule], held_out: Sequence[Scores]
) -> dict[str, float]:
    """The shares with which a rule gives the labels of `held_out` the largest likelihood.

    rule_of: makes the rule from shares. A normal prior around equal shares decides where the videos do
    not, and of shares that are as good those nearest to equal ones are taken.

    From equal shares on, what two streams have together is divided between them in every way on a
    grid, for one pair after another, until nothing changes. For two streams that is the whole grid, in
    steps of 0.05.
    """
    names = [one.name for one in held_out]
    equal = 1 / len(names)

    def cost(shares: Mapping[str, float]) -> float:
        logits = rule_of(shares)(held_out).logits.astype(np.float64)
        away = sum((share - equal) ** 2 for share in shares.values()) / 2
        return negative_log_likelihood(logits, held_out[0].labels) + away / _SPREAD**2

    best = dict.fromkeys(names, equal)
    least = cost(best)
    for _ in range(_ROUNDS):
        before = least
        for number, one in enumerate(names):
            for other in names[number + 1 :]:
                together = best[one] + best[other]
                # Nearest to equal first, so that it wins where several are as good.
                parts = sorted(range(_STEPS + 1), key=lambda step: abs(step - _STEPS / 2))
                for step in parts:
                    part = together * step / _STEPS
                    tried = best | {one: together - part, other: part}
                    if (now := cost(tried)) < least - 1e-9:
                        best, least = tried, now
        if least == before:
            break
    return best
