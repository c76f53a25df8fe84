"""What lies in a run's folder, and in that of a fusion."""

RECORD = "run.json"
"""What the run was told, and the versions of what computed it."""

SPLIT = "split.csv"
"""Which videos train, choose the best epoch, and test."""

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
"""The weights of the best epoch, the checkpoint from which a run is resumed, and the one before it."""

EPOCHS = "metrics.csv"
"""A row for each epoch."""

SCORES, VALIDATION_SCORES = "scores.npz", "validation_scores.npz"
"""The logits of the test videos, and of those that chose the best epoch."""

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


def of_views(name: str, views: str) -> str:
    """`scores.npz` → `scores-3x10.npz`: what belongs to other clips and crops than the run's own.

    views: "CLIPSxCROPS"; empty for the run's own.
    """
    stem, _, ending = name.rpartition(".")
    return f"{stem}-{views}.{ending}" if views else name
