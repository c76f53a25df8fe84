"""What a protocol shows, in numbers: accuracies with intervals, and what fusion gains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.table import Table

from flowcache.cache.store import FlowCache
from twostream.protocol.plan import Protocol
from twostream.protocol.results import Ensemble, Outcome, no_picture, outcomes
from twostream.scoring.intervals import (
    MEASURES,
    Comparison,
    Interval,
    Measure,
    compare,
    interval,
)
from twostream.scoring.metrics import (
    expected_calibration_error,
    negative_log_likelihood,
    per_class,
)
from twostream.scoring.scores import Scores


def figures(
    protocol: Protocol, cache: FlowCache, ensembles: Sequence[Ensemble], views: str = ""
) -> dict[str, Any]:
    """What `results.json` holds: `summarise` of no picture, all runs and all ensembles.

    views: see `protocol.results.outcomes`. Raises as `protocol.results.outcomes` and `no_picture`.
    """
    return summarise(protocol, [no_picture(protocol, cache), *outcomes(protocol, ensembles, views)])


def summarise(protocol: Protocol, found: Sequence[Outcome]) -> dict[str, Any]:
    """Plain values, as JSON holds them; shares from 0 to 1.

    Accuracies are of the test videos of all folds together, averaged over the seeds, with 95 % intervals
    by bootstrap over groups. A gain is that of an ensemble over the best of its runs, by top-1.
    """
    first = found[0].pooled[0]
    by_name = {one.name: one for one in found}
    fusions = [(one, _better(one, by_name)) for one in found if one.parts]
    return {
        "scheme": protocol.options.scheme,
        "folds": len(protocol.folds),
        "seeds": len(found[0].folds),
        "videos": len(first),
        "groups": len(set(first.groups)),
        "outcomes": {one.name: _measures(one) for one in found},
        "gains": [
            {"of": one.name, "over": better.name, "measure": measure} | _gain(one, better, measure)
            for one, better in fusions
            for measure in MEASURES
        ],
    }


def results_table(summary: dict[str, Any]) -> Table:
    """A row for each run and fusion: accuracies in per cent with their intervals."""
    told = "{videos} test videos of {groups} groups in {folds} folds, {seeds} seeds; in %"
    table = Table(
        title=told.format(**summary),
        title_justify="left",
        caption="in brackets: 95 % interval, bootstrap over groups",
        caption_justify="left",
    )
    table.add_column("stream")
    for column in (*MEASURES.values(), "folds", "seeds"):
        table.add_column(column, justify="right")
    for name, row in summary["outcomes"].items():
        cells = [str(Interval(**row[measure])) for measure in MEASURES]
        for spread in ("top1_of_folds", "top1_of_seeds"):
            cells.append(f"{_percent(np.mean(row[spread]))} ± {_percent(_deviation(row[spread]))}")
        table.add_row(name, *cells)
    return table


_VERDICTS = {1: "fusion helps", -1: "fusion harms", 0: "no gain can be told apart"}


def gain_sentences(summary: dict[str, Any]) -> list[str]:
    """What each fusion gains over the better run, and whether that can be told from chance."""
    sentences = []
    for gain in summary["gains"]:
        comparison = comparison_of(gain)
        verdict = _VERDICTS[comparison.direction]
        sentences.append(
            f"{gain['of']} over {gain['over']}, {MEASURES[gain['measure']]}: {comparison}: {verdict}"
        )
    return sentences


def comparison_of(gain: Mapping[str, Any]) -> Comparison:
    """One of the gains of a summary, which can be shown."""
    return Comparison(Interval(gain["value"], gain["low"], gain["high"]), gain["p"])


def _better(fusion: Outcome, by_name: dict[str, Outcome]) -> Outcome:
    """The one of the fused runs that is right most often."""
    runs = [by_name[name] for name in fusion.parts]
    return max(runs, key=lambda one: float(np.mean([scores.top(1) for scores in one.pooled])))


def _measures(one: Outcome) -> dict[str, Any]:
    pooled = one.pooled
    classes = [per_class(scores) for scores in pooled]
    many = len(pooled[0].classes) > 5
    return {
        **{measure: asdict(interval(pooled, measure)) for measure in MEASURES},
        **({"top5": float(np.mean([scores.top(5) for scores in pooled]))} if many else {}),
        "negative_log_likelihood": _mean(negative_log_likelihood, one),
        "calibration_error": _mean(expected_calibration_error, one),
        "top1_of_folds": np.mean([[s.top(1) for s in row] for row in one.folds], 0).tolist(),
        "top1_of_seeds": [scores.top(1) for scores in pooled],
        "classes": {
            name: {"videos": videos, "top1": float(np.mean([each[name][1] for each in classes]))}
            for name, (videos, _) in classes[0].items()
        },
    }


def _gain(one: Outcome, other: Outcome, measure: Measure) -> dict[str, float]:
    comparison = compare(one.pooled, other.pooled, measure)
    return asdict(comparison.gain) | {"p": comparison.p}


def _mean(measure: Callable[[Scores], float], one: Outcome) -> float | None:
    """Of probabilities, over the seeds; None where there are only ranks."""
    if one.pooled[0].ranks_only:
        return None
    return float(np.mean([measure(scores) for scores in one.pooled]))


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
