"""The scores of runs fused, on files, and what the fusion gains."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flowcache.errors import UserError
from twostream.fusion import Fusion, Weights, create_rule, names_of, needs_held_out, rule_for
from twostream.report.pictures import write_confusion_png
from twostream.report.tables import write_confusion_csv, write_metrics, write_predictions
from twostream.report.weight_curve import WeightCurve, write_curve_csv, write_curve_png
from twostream.runs import files
from twostream.scoring.align import align
from twostream.scoring.intervals import Comparison, compare
from twostream.scoring.of_runs import have_held_out_scores, held_out_scores_of, scores_of
from twostream.scoring.scores import Scores, ScoresError

_STEPS = 20
"""In how many steps the curve goes from a share of 0 to a share of 1."""


@dataclass(frozen=True)
class Gain:
    """By how much the fusion is right more often than the best of its runs, on the test videos."""

    over: str
    """The name of the run with the highest top-1; the first of several."""

    top1: Comparison
    mean_class: Comparison

    @property
    def verdict(self) -> str:
        """What follows from the interval of top-1, in a sentence."""
        interval = f"the interval of its gain over {self.over}"
        if self.top1.direction > 0:
            return f"The fusion helps: {interval} is above 0."
        if self.top1.direction < 0:
            return f"The fusion harms: {interval} is below 0."
        if self.top1.gain.value < 0:
            return (
                f"The fusion does not help: it is below {self.over} alone; {interval} includes 0."
            )
        return f"The fusion does not help provably: {interval} includes 0."

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` has it; see docs/formats.md."""
        return asdict(self) | {"helps": self.top1.direction > 0}


@dataclass(frozen=True)
class FusedRuns:
    """Runs, the rule, and what it made of them."""

    runs: Sequence[Scores]
    """Of the test videos, under the names of the folders."""

    fused: Scores
    rule: Fusion
    gain: Gain

    curve: WeightCurve | None
    """None unless there are two runs."""


def fuse(
    folders: Sequence[Path],
    weights: Weights,
    rule: str,
    into: Path,
    views: str = "",
    held_out: Sequence[Scores] = (),
) -> FusedRuns:
    """Fuse the test scores of runs, and write the result into a folder of its own.

    into: the folder for the result. All else, and what is raised, as of `fuse_scores`; UserError also
    where that folder holds a run.
    """
    of_runs = {folder.resolve() for folder in folders}
    if into.resolve() in of_runs or any((into / n).exists() for n in (files.RECORD, files.BEST)):
        raise UserError(
            f"{into} is the folder of a run, whose scores the fusion would replace: name another",
            "run",
        )
    result = fuse_scores(folders, weights, rule, views, held_out)
    _write(result, folders, into)
    return result


def fuse_scores(
    folders: Sequence[Path],
    weights: Weights = (),
    rule: str = "softmax",
    views: str = "",
    held_out: Sequence[Scores] = (),
) -> FusedRuns:
    """Fuse the test scores of runs, and write nothing.

    Args:
        folders: of the runs.
        weights: a share for each, or "fit"; see `fusion.shares_of`.
        rule: a fusion rule.
        views: which of their scores, where `evaluate` gave several, as "3x10"; the runs' own by default.
        held_out: the scores on which a rule or the shares are fitted, under the names of the folders, in
            their order; by default those of the runs' validation videos. Test scores are never used.

    Raises ScoresError where the scores do not belong together, see `scoring.align`; UserError where
    something is to be fitted and a run has no validation videos.
    """
    names = names_of(folders, "runs")
    if held_out:
        held_out = align(held_out)
    elif needs_held_out(rule, weights):
        held_out = held_out_scores_of(folders, views)
    elif have_held_out_scores(folders, views):  # for the curve alone
        with suppress(ScoresError):  # runs of two seeds hold back different videos
            held_out = held_out_scores_of(folders, views)
    runs = scores_of(folders, views)
    fusion = rule_for(rule, names, weights, held_out)
    fused = fusion(runs)
    return FusedRuns(
        runs,
        fused,
        fusion,
        _gain(runs, fused),
        _curve(fusion, runs, held_out) if len(runs) == 2 else None,
    )


def _gain(runs: Sequence[Scores], fused: Scores) -> Gain:
    best = max(runs, key=lambda one: one.top(1))
    return Gain(
        best.name,
        compare([fused], [best], "top1"),
        compare([fused], [best], "mean_class"),
    )


def _curve(fusion: Fusion, runs: Sequence[Scores], held_out: Sequence[Scores]) -> WeightCurve:
    """Top-1 over the second run's share; a rule without shares is drawn beside the average of softmax."""
    first, second = (one.name for one in runs)
    rule = "softmax" if fusion.shares is None else fusion.name
    shares = np.linspace(0, 1, _STEPS + 1).tolist()
    rules = [create_rule(rule, {first: 1 - share, second: share}, held_out) for share in shares]
    return WeightCurve(
        rule,
        second,
        shares,
        test=[one(runs).top(1) for one in rules],
        validation=[one.rule(held_out).top(1) for one in rules] if held_out else None,
        taken=None if fusion.shares is None else fusion.shares[second],
    )


def _write(result: FusedRuns, folders: Sequence[Path], into: Path) -> None:
    fused, rule = result.fused, result.rule
    fused.save(into / files.SCORES)
    write_predictions(into / files.PREDICTIONS, fused)
    write_confusion_csv(into / files.CONFUSION_TABLE, fused)
    write_confusion_png(into / files.CONFUSION_PICTURE, [*result.runs, fused])
    if result.curve:
        write_curve_csv(into / files.WEIGHTS_TABLE, result.curve)
        write_curve_png(into / files.WEIGHTS_PICTURE, result.curve)
    else:  # those of an earlier fusion, of two runs
        for name in (files.WEIGHTS_TABLE, files.WEIGHTS_PICTURE):
            (into / name).unlink(missing_ok=True)
    shares = rule.shares
    made_of = [
        {"run": str(folder)} | ({"share": shares[files.name_of_run(folder)]} if shares else {})
        for folder in folders
    ]
    write_metrics(
        into / files.METRICS,
        {
            "rule": rule.name,
            "runs": made_of,
            "held_out": rule.held_out,
            "parameters": dict(rule.parameters),
            "test": fused,
            "gain": result.gain.to_json(),
        },
    )
