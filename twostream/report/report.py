"""Scores as a person reads them: tables, predictions, a confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from flowcache.atomic import atomic_path, write_csv
from twostream.scoring.scores import Scores


def accuracy_table(streams: Sequence[Scores], title: str) -> Table:
    """One row for each: top-1, top-5 and mean-class accuracy in percent."""
    table = Table(title=title, title_justify="left")
    table.add_column("stream")
    for name in ("top-1", "top-5", "mean class"):
        table.add_column(name, justify="right")
    for scores in streams:
        table.add_row(
            scores.name,
            f"{100 * scores.top(1):.1f}",
            f"{100 * scores.top(5):.1f}",
            f"{100 * scores.mean_class_accuracy():.1f}",
        )
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


def write_confusion_png(path: Path, scores: Sequence[Scores]) -> None:
    """The confusion matrices side by side, each row in shares of its true class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = scores[0].classes
    side = max(2.6, 0.22 * len(classes))
    figure = Figure(figsize=(len(scores) * side + 1.6, side + 1.6), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axis, one in zip(axes, scores, strict=True):
        confusion = one.confusion().astype(float)
        shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.set_title(f"{one.name}: {100 * one.top(1):.1f} % top-1")
        axis.set_xlabel("predicted")
        if len(classes) <= 60:
            axis.set_xticks(range(len(classes)), classes, rotation=90)
            axis.set_yticks(range(len(classes)), classes)
        if len(classes) <= 12:
            for row, column in np.argwhere(confusion > 0):
                axis.text(
                    column,
                    row,
                    int(confusion[row, column]),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if shares[row, column] > 0.5 else "black",
                )
    axes[0].set_ylabel("true")
    figure.colorbar(axes[0].images[0], ax=axes, label="share of the true class", shrink=0.8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
