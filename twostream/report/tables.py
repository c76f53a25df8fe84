"""Scores as tables: accuracies, predictions, the confusion matrix."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from flowcache.atomic import write_csv
from twostream.runs.run_json import versions, write_json
from twostream.scoring.intervals import MEASURES, RESAMPLES, Interval, interval
from twostream.scoring.metrics import (
    expected_calibration_error,
    negative_log_likelihood,
    per_class,
)
from twostream.scoring.scores import Scores


def accuracy_table(streams: Sequence[Scores], title: str) -> Table:
    """One row for each: the accuracies in percent with their 95 % intervals, and the calibration."""
    measures = [accuracies(scores) for scores in streams]
    _, headings, rows = accuracy_cells(measures)
    of_groups = any(one["intervals"]["groups"] < one["videos"] for one in measures)
    table = Table(
        title=title,
        title_justify="left",
        caption=f"in brackets: 95 % interval, bootstrap over {'groups' if of_groups else 'videos'}",
        caption_justify="left",
    )
    table.add_column("stream", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    for scores, cells in zip(streams, rows, strict=True):
        table.add_row(scores.name, *cells)
    return table


def accuracy_cells(
    measures: Sequence[Mapping[str, Any]],
) -> tuple[list[str], list[str], list[list[str]]]:
    """Of what `accuracies` gives: the names of the columns, their headings, and a row of text each."""
    kept = [name for name in _HEADINGS if all(name in one for one in measures)]
    rows = [[_cell(one, name) for name in kept] for one in measures]
    return kept, [_HEADINGS[name] for name in kept], rows


_HEADINGS = {
    "top1": MEASURES["top1"],
    "top5": "top-5",
    "mean_class": MEASURES["mean_class"],
    "calibration_error": "ECE",
    "negative_log_likelihood": "NLL",
}


def _cell(measures: Mapping[str, Any], name: str) -> str:
    """What a row of the table says of a measure: in percent, but for the likelihood."""
    value, bounds = measures[name], measures["intervals"].get(name)
    if bounds:
        return str(Interval(value, *bounds))
    if value is None:
        return ""
    return f"{value:.2f}" if name == "negative_log_likelihood" else f"{100 * value:.1f}"


def write_predictions(path: Path, scores: Scores) -> None:
    """A CSV file: video, label, prediction, its probability, the label's probability; worst first.

    What has no label comes last, with two empty fields. Where scores merely rank, there are no
    probabilities.
    """
    probabilities = scores.softmax()
    digits = (lambda _: "") if scores.ranks_only else "{:.4f}".format
    best = probabilities.argmax(1)
    own = np.where(scores.labels < 0, np.inf, probabilities[np.arange(len(scores)), scores.labels])
    written = [
        [
            scores.ids[row],
            (*scores.classes, "")[scores.labels[row]],
            scores.classes[best[row]],
            digits(probabilities[row, best[row]]),
            "" if scores.labels[row] < 0 else digits(own[row]),
        ]
        for row in sorted(range(len(scores)), key=lambda row: (own[row], scores.ids[row]))
    ]
    header = ["video", "label", "prediction", "probability", "probability of the label"]
    write_csv(path, [header, *written])


def write_confusion_csv(path: Path, scores: Scores) -> None:
    """Counts: a row for each true class, a column for each predicted one."""
    counts = zip(scores.classes, scores.confusion(), strict=True)
    rows = [[name, *row] for name, row in counts]
    write_csv(path, [["true \\ predicted", *scores.classes], *rows])


def write_metrics(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON file: what is given, with the accuracies in place of scores, and the versions."""
    plain = {
        name: accuracies(value) if isinstance(value, Scores) else value
        for name, value in content.items()
    }
    write_json(path, plain | {"versions": versions()})


def accuracies(scores: Scores) -> dict[str, Any]:
    """What `metrics.json` has of scores, see docs/formats.md: shares that are right, with intervals.

    Of the videos that have a label; ScoresError where none has one. Without the top 5 where there are no
    more than five classes, since all videos are right then. None is what needs probabilities, where the
    scores merely rank.
    """
    sure = not scores.ranks_only
    scores = scores.labelled()
    top5 = {"top5": scores.top(5)} if len(scores.classes) > 5 else {}
    bounds = {measure: interval([scores], measure) for measure in MEASURES}
    return {
        "videos": len(scores),
        "top1": scores.top(1),
        **top5,
        "mean_class": scores.mean_class_accuracy(),
        "calibration_error": expected_calibration_error(scores) if sure else None,
        "negative_log_likelihood": negative_log_likelihood(scores) if sure else None,
        "intervals": {
            **{measure: [bound.low, bound.high] for measure, bound in bounds.items()},
            "level": 0.95,
            "groups": len(set(scores.groups or scores.ids)),
            "resamples": RESAMPLES,
        },
        "classes": {
            name: {"videos": videos, "top1": top1}
            for name, (videos, top1) in per_class(scores).items()
        },
    }
