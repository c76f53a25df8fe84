"""What lies in a run's folder, and in that of a fusion."""

import json
import re
from pathlib import Path

from flowcache.errors import UserError
from twostream.runs.training_options import Average

RECORD = "run.json"
"""What the run was told, and the versions of what computed it."""

SPLIT = "split.csv"
"""Which videos train, validate, and test."""

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
"""The weights of the best epoch, the checkpoint from which a run is resumed, and the one before it."""

EPOCHS = "metrics.csv"
"""A row for each epoch."""

SCORES, VALIDATION_SCORES = "scores.npz", "validation_scores.npz"
"""The logits of the test videos, and of those that validated."""

METRICS = "metrics.json"
"""Accuracies, and how they were computed."""

PREDICTIONS = "predictions.csv"
"""What was predicted for each test video."""

CONFUSION_TABLE, CONFUSION_PICTURE = "confusion.csv", "confusion.png"
"""The confusion matrix of a fusion."""

WEIGHTS_TABLE, WEIGHTS_PICTURE = "weights.csv", "weights.png"
"""What a fusion of two runs would have given with every share of the second."""

OF_A_RUN = (BEST, LAST, PREVIOUS, EPOCHS, SCORES, VALIDATION_SCORES, METRICS, PREDICTIONS, SPLIT)
"""What a new run in the same folder takes away of an earlier one."""

OF_VIEWS = (SCORES, VALIDATION_SCORES, METRICS, PREDICTIONS)
"""What `evaluate` writes, for other clips and crops than the run's own under other names."""


def of_views(name: str, views: str) -> str:
    """`scores.npz` → `scores-3x10.npz`: what belongs to other clips and crops than the run's own.

    views: as `other_views` names them; empty for the run's own.
    """
    stem, _, ending = name.rpartition(".")
    return f"{stem}-{views}.{ending}" if views else name


def other_views(folder: Path, clips: int, crops: int, average: str) -> str:
    """`3x10`, or `3x10-softmax`, where a run's own scores are of other clips, crops or another average.

    Empty where they are the same, and where the run has no scores yet.
    """
    own = _own_views(folder)
    return "" if own in (None, (clips, crops, average)) else _named(clips, crops, average)


def asked_views(folder: Path, views: str) -> str:
    """The views that a user asks for, as `other_views` names them; empty where they are the run's own.

    UserError where these are no views.
    """
    if not views:
        return ""
    asked = read_views(views)
    return "" if asked == _own_views(folder) else _named(*asked)


def read_views(views: str) -> tuple[int, int, Average]:
    """`25x10-softmax` → 25, 10, "softmax": clips, crops and average. UserError for other text."""
    found = re.fullmatch(r"([1-9]\d*)x(1|3|10)(?:-(logits|softmax))?", views)
    if not found:
        raise UserError(
            f"{views} does not say clips and crops (1, 3 or 10): write 25x10, or 25x10-softmax",
            "views",
        )
    average: Average = "softmax" if found[3] == "softmax" else "logits"
    return int(found[1]), int(found[2]), average


def _named(clips: int, crops: int, average: str) -> str:
    return f"{clips}x{crops}" if average == "logits" else f"{clips}x{crops}-{average}"


def _own_views(folder: Path) -> tuple[int, int, str] | None:
    try:
        own = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        # Runs of before 2026-11-26 averaged logits, and did not say so.
        return own["clips"], own["crops"], own.get("average", "logits")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def of_run(run: Path, name: str) -> Path:
    """A file of a run; where the run is one file, an exported network, it lies beside that.

    `runs/temporal` → `runs/temporal/scores.npz`, `temporal.onnx` → `temporal.onnx.scores.npz`.
    """
    return run.with_name(f"{run.name}.{name}") if run.is_file() else run / name


def name_of_run(run: Path) -> str:
    """`runs/temporal`, `temporal.onnx` and, in `runs/temporal`, `.` → `temporal`."""
    if run.name in ("", ".."):
        run = run.resolve()  # no more than is needed: a link may be named as the user likes
    return run.stem if run.is_file() else run.name
