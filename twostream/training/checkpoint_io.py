"""How Lightning writes the checkpoints of a run."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io import TorchCheckpointIO

from twostream.runs.checkpoint_file import write_checkpoint
from twostream.runs.files import BEST, LAST, PREVIOUS

_TO_RESUME = ("optimizer_states", "lr_schedulers", "loops", "callbacks", "current_model_state")


class CheckpointFiles(TorchCheckpointIO):
    """Writes files that are whole or not there, and keeps the last checkpoint but one.

    The best checkpoint holds the weights alone: what a resumed run needs beside them, Adam's two moments
    above all, is three times as large and stands in the last one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint under one of the names in `runs.files`."""
        path = Path(path)
        if path.name == BEST:
            checkpoint = {k: v for k, v in checkpoint.items() if k not in _TO_RESUME}
        write_checkpoint(checkpoint, path, path.parent / PREVIOUS if path.name == LAST else None)
