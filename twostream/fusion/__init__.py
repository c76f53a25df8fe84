"""Fusion rules, one a file; the module's name is the name users give."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flowcache import plugins
from flowcache.errors import UserError

if TYPE_CHECKING:  # so that the command line can list the rules at once
    from twostream.scoring.scores import Scores

FusionRule = Callable[[Sequence["Scores"]], "Scores"]
"""Aligned scores of several runs → the fused scores."""


def names() -> list[str]:
    """The rules that there are, sorted."""
    return plugins.names(sys.modules[__name__])


def create_rule(name: str, weights: Mapping[str, float]) -> FusionRule:
    """A rule, with a weight for each run by its name. UserError for a rule that there is not."""
    rule: FusionRule = plugins.create(sys.modules[__name__], name, weights=weights)
    return rule


def names_of(folders: Sequence[Path], parameter: str) -> list[str]:
    """The names of runs, which are those of their folders.

    UserError, which names the parameter that has the folders, where two runs have one name.
    """
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        raise UserError("two of the runs have folders of one name: rename one", parameter)
    return names


def shares_of(names: Sequence[str], weights: Sequence[float]) -> dict[str, float]:
    """A share for each of the runs. A single weight is the second run's share of two.

    UserError unless there is one weight for each of two runs or more, none below 0 and not all 0.
    """
    if len(names) == 2 and len(weights) == 1 and 0 <= weights[0] <= 1:
        weights = (1 - weights[0], weights[0])
    finite = all(0 <= w < float("inf") for w in weights)
    if len(names) < 2 or len(weights) != len(names) or not finite or sum(weights) == 0:
        given = ", ".join(map(str, weights))
        raise UserError(
            f"the weights {given} do not fit {len(names)} runs: give two runs or more and a weight for "
            "each, none below 0 and not all 0, or for two runs the second's share from 0 to 1",
            "weights",
        )
    total = sum(weights)
    return {name: weight / total for name, weight in zip(names, weights, strict=True)}
