"""What lies in a run's folder, and in that of a fusion."""

from pathlib import Path

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
"""What `evaluate` writes, also for other clips and crops than the run's own; see `runs.views`."""


def path_in_run(run: Path, name: str) -> Path:
    """A file of a run; where the run is one file, an exported network, it lies beside that.

    `runs/temporal` → `runs/temporal/scores.npz`, `temporal.onnx` → `temporal.onnx.scores.npz`.
    """
    return run.with_name(f"{run.name}.{name}") if run.is_file() else run / name


def name_of_run(run: Path) -> str:
    """`runs/temporal`, `temporal.onnx` and, in `runs/temporal`, `.` → `temporal`."""
    if run.name in ("", ".."):
        run = run.resolve()  # no more than is needed: a link may be named as the user likes
    return run.stem if run.is_file() else run.name
