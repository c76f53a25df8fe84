"""Scores as tables: accuracies, predictions, the confusion matrix."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from flowcache.atomic import write_csv
from twostream.runs.run_json import versions, write_json
from twostream.scoring.scores import Scores


def accuracy_table(streams: Sequence[Scores], title: str) -> Table:
    """One row for each: the accuracies in percent."""
    names = {"top1": "top-1", "top5": "top-5", "mean_class": "mean class"}
    rows = [(scores.name, accuracies(scores)) for scores in streams]
    kept = [name for name in names if all(name in row for _, row in rows)]
    table = Table(title=title, title_justify="left")
    table.add_column("stream")
    for name in kept:
        table.add_column(names[name], justify="right")
    for stream, row in rows:
        table.add_row(stream, *(f"{100 * row[name]:.1f}" for name in kept))
    return table


def write_predictions(path: Path, scores: Scores) -> None:
    """A CSV file: video, label, prediction, its probability, the label's probability; worst first."""
    probabilities = scores.softmax()
    best = probabilities.argmax(1)
    rows = []
    for number, identifier in enumerate(scores.ids):
        own = probabilities[number, scores.labels[number]]
        rows.append(
            (
                own,
                identifier,
                scores.classes[scores.labels[number]],
                scores.classes[best[number]],
                probabilities[number, best[number]],
            )
        )
    header = ["video", "label", "prediction", "probability", "probability of the label"]
    written = [
        [identifier, label, prediction, f"{probability:.4f}", f"{own:.4f}"]
        for own, identifier, label, prediction, probability in sorted(rows)
    ]
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


def accuracies(scores: Scores) -> dict[str, float]:
    """How many videos were scored, and the shares that were right.

    Without the top 5 where there are no more than five classes, since all videos are right then.
    """
    top5 = {"top5": scores.top(5)} if len(scores.classes) > 5 else {}
    return {
        "videos": len(scores),
        "top1": scores.top(1),
        **top5,
        "mean_class": scores.mean_class_accuracy(),
    }
