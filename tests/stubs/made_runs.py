"""What a run left in its folder, and runs that are killed."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from twostream.runs.files import EPOCHS
from twostream.stages import Listener


class KilledError(Exception):
    """Stands for whatever ends a process."""


def killed_after(epoch: int) -> Listener:
    """A listener that breaks the training when an epoch, counted from 1, has ended."""

    def on_epoch(row: Mapping[str, float], _: int) -> None:
        if row["epoch"] == epoch:
            raise KilledError

    return Listener(on_epoch=on_epoch)


def checkpoint(path: Path) -> dict[str, Any]:
    """All that a checkpoint holds, read without executing anything."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint."""
    state: dict[str, torch.Tensor] = checkpoint(path)["state_dict"]
    return state


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal to the last bit."""
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The rows of `metrics.csv`, but for how long each epoch took."""
    with (folder / EPOCHS).open(newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
