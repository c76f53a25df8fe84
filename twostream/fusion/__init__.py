"""Fusion rules, one a file; the module's name is the name users give."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flowcache import plugins
from flowcache.errors import UserError
from twostream.runs.files import name_of_run

if TYPE_CHECKING:  # so that the command line can list the rules at once
    from twostream.scoring.scores import Scores

FusionRule = Callable[[Sequence["Scores"]], "Scores"]
"""Aligned scores of several runs → the fused scores."""

Weights = Sequence[float] | Literal["fit"]
"""A weight for each run, or the second's share of two; none: all alike; or fitted, see `create_rule`."""


@dataclass(frozen=True)
class Fusion:
    """A rule that is ready: it takes aligned scores of several runs to the fused ones."""

    name: str
    """The rule's."""

    shares: Mapping[str, float] | None
    """Of each run by its name, with the sum 1; None for a rule that has none."""

    held_out: int
    """On how many videos it was fitted; 0 where nothing was."""

    rule: FusionRule = field(repr=False)
    _seen: frozenset[str] = field(repr=False)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the rule has fitted beside the shares, as JSON can hold it."""
        fitted: Mapping[str, Any] = getattr(self.rule, "parameters", {})
        return fitted

    def __call__(self, streams: Sequence["Scores"]) -> "Scores":
        """Fuse. ScoresError for a video on which the rule was fitted."""
        from twostream.scoring.scores import ScoresError

        if both := sorted(self._seen.intersection(streams[0].ids)):
            raise ScoresError(
                f"the rule {self.name} was fitted on {len(both)} of the videos that are to be fused, the "
                f"first is {both[0]}: fit it on videos that do not test",
                "held_out",
            )
        fused: Scores = self.rule(streams)
        return replace(fused, ranks_only=not gives_probabilities(self.name))


def names() -> list[str]:
    """The rules that there are, sorted."""
    return plugins.names(sys.modules[__name__])


def needs_held_out(name: str, weights: Weights = ()) -> bool:
    """Whether a rule with these weights has something to fit. UserError for a rule that there is not."""
    asked = _asked_by(name)
    return "held_out" in asked or ("weights" in asked and weights == "fit")


def gives_probabilities(name: str) -> bool:
    """Whether the softmax of what a rule gives can be read as probabilities."""
    module = plugins.module(sys.modules[__name__], name)
    return bool(getattr(module, "GIVES_PROBABILITIES", True))


def create_rule(
    name: str, weights: Mapping[str, float] | None, held_out: Sequence["Scores"] = ()
) -> Fusion:
    """A rule by its name.

    Args:
        name: one of `names()`.
        weights: a share for each run by its name; None to fit them. A rule without shares ignores it.
        held_out: scores of videos that training held back, of the same runs in the same order. They are
            needed for what is fitted: shares, and what the rule asks for itself.

    Shares are fitted as those with which the rule gives the labels of `held_out` the largest likelihood,
    drawn to equal shares where there are few videos.

    Raises UserError for a rule that there is not, and where something is to be fitted and `held_out` is
    empty; ScoresError where `held_out` does not belong together, lacks labels or was trained on.
    """
    from twostream.fusion._shares import fit_shares
    from twostream.scoring.align import align

    asked = _asked_by(name)
    fits = needs_held_out(name, "fit" if weights is None else ())
    if fits:
        _require_held_out(name, held_out, "rule" if "held_out" in asked else "weights")
        held_out = align(held_out)
    given = {"held_out": held_out} if "held_out" in asked else {}

    def rule_of(shares: Mapping[str, float]) -> FusionRule:
        rule: FusionRule = plugins.create(
            sys.modules[__name__],
            name,
            **({"weights": shares} if "weights" in asked else {}),
            **given,
        )
        return rule

    shares: Mapping[str, float] | None = None
    if "weights" in asked:
        shares = fit_shares(rule_of, held_out) if weights is None else weights
    seen = frozenset(held_out[0].ids) if fits else frozenset()
    return Fusion(name, shares, len(seen), rule_of(shares or {}), seen)


def rule_for(
    name: str, runs: Sequence[str], weights: Weights, held_out: Sequence["Scores"] = ()
) -> Fusion:
    """A rule for runs of these names, as a user asks for it; see `create_rule`.

    Raises UserError also for weights that do not fit the runs, or that the rule has no use for, and for
    `held_out` of other runs.
    """
    shares = shares_for(name, runs, weights)
    if held_out and [one.name for one in held_out] != list(runs):
        of = ", ".join(one.name for one in held_out)
        raise UserError(
            f"{', '.join(runs)} are to be fused, and what was held back is of {of}: give that of the "
            "same runs in the same order",
            "held_out",
        )
    return create_rule(name, shares, held_out)


def shares_for(rule: str, runs: Sequence[str], weights: Weights) -> dict[str, float] | None:
    """As `shares_of`; UserError also for a rule that there is not, or that has no use for weights."""
    shares = shares_of(runs, weights)
    if "weights" not in _asked_by(rule) and weights and weights != "fit":
        raise UserError(
            f"the rule {rule} has no shares: it learns how the runs are joined, so leave the weights out",
            "weights",
        )
    return shares


def names_of(folders: Sequence[Path], parameter: str) -> list[str]:
    """The names of runs, which are those of their folders or files.

    UserError, which names the parameter that has the folders, where two runs have one name, and where
    one of several is called "fused", as their fusion is.
    """
    from twostream.scoring.scores import FUSED

    names = [name_of_run(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise UserError("two of the runs have folders of one name: rename one", parameter)
    if len(names) > 1 and FUSED in names:
        raise UserError(
            f"one of the runs is called {FUSED}, as their fusion is: rename its folder", parameter
        )
    return names


def shares_of(names: Sequence[str], weights: Weights) -> dict[str, float] | None:
    """A share for each of the runs; None where they are to be fitted.

    A single weight is the second run's share of two. Without weights all shares are alike.
    UserError unless there is one weight for each of two runs or more, none below 0 and not all 0.
    """
    if weights == "fit" and len(names) > 1:
        return None
    try:
        numbers = [float(weight) for weight in weights] if weights != "fit" else []
    except (TypeError, ValueError):  # another word, or none that can be counted
        raise UserError(f"{weights!r} are no weights: give numbers, or fit", "weights") from None
    if not numbers:
        numbers = [1.0] * len(names)
    if len(names) == 2 and len(numbers) == 1 and 0 <= numbers[0] <= 1:
        numbers = [1 - numbers[0], numbers[0]]
    finite = all(0 <= w < float("inf") for w in numbers)
    if len(names) < 2 or len(numbers) != len(names) or not finite or sum(numbers) == 0:
        given = "fit" if weights == "fit" else ", ".join(map(str, weights)) or "(all alike)"
        raise UserError(
            f"the weights {given} do not fit {len(names)} runs: give two runs or more and a weight for "
            "each, none below 0 and not all 0, or for two runs the second's share from 0 to 1",
            "weights",
        )
    total = sum(numbers)
    return {name: weight / total for name, weight in zip(names, numbers, strict=True)}


def _asked_by(name: str) -> set[str]:
    """The parameters of a rule's `create`."""
    return set(inspect.signature(plugins.module(sys.modules[__name__], name).create).parameters)


def _require_held_out(name: str, held_out: Sequence["Scores"], parameter: str) -> None:
    from twostream.scoring.scores import ScoresError

    if not held_out or not len(held_out[0]):
        what = f"the rule {name} is" if parameter == "rule" else "these weights are"
        raise UserError(
            f"{what} fitted on scores of videos that training held back, and there are none: train with "
            "a validation share, or take a rule and weights that need none",
            parameter,
        )
    for one in held_out:
        if (one.labels < 0).any():
            raise ScoresError(
                f"{one.name}: a rule is fitted on labels, and a video has none", "held_out"
            )
        if both := sorted(set(one.ids) & set(one.trained_on)):
            raise ScoresError(
                f"{one.name} was trained on {len(both)} of the videos that were to be held back, the "
                f"first is {both[0]}: fit on videos that it has not seen",
                "held_out",
            )
