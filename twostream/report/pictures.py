"""Scores as pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowcache.atomic import atomic_path
from twostream.scoring.scores import Scores


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
