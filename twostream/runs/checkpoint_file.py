"""Checkpoints on disk: written whole or not at all, and read only where no byte has changed."""

import json
import os
import pickle
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from flowcache.atomic import atomic_path
from flowcache.errors import UserError
from twostream.nets.safetensors_file import load_safetensors
from twostream.nets.torch_file import load_torch_file
from twostream.runs.spec import KEY

# What reading something else as a checkpoint can lead to.
UNREADABLE = (
    OSError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ValueError,
    OverflowError,
    MemoryError,
    EOFError,
    BadZipFile,
    NotImplementedError,
    pickle.UnpicklingError,
)
"""Errors of a file that is damaged, or something else; see `read_checkpoint`."""


def write_checkpoint(content: Any, path: Path, previous: Path | None = None) -> None:
    """Write a checkpoint beside its place and move it there when it is on the disk.

    previous: where the file that it replaces is kept. UserError where the disk takes no more.
    """
    try:
        with atomic_path(path) as temporary:
            torch.save(content, temporary)
            if previous is not None and path.exists():
                _keep(path, previous)
    except (OSError, RuntimeError) as error:  # torch's own writer raises RuntimeError
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UserError(
            f"{path} cannot be written ({reason}): make room, then resume the run"
        ) from error


def _keep(path: Path, previous: Path) -> None:
    """A file that is about to be replaced, under another name too."""
    previous.unlink(missing_ok=True)
    try:
        os.link(path, previous)
    except OSError:  # not every disk has hard links
        path.rename(previous)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU; nothing in it is executed.

    What ends in `.safetensors` is an exported network: the same weights and the same description.

    Raises one of `UNREADABLE` where a byte has changed, and where it is no checkpoint.
    """
    if path.suffix == ".safetensors":
        tensors, metadata = load_safetensors(path)
        said = {KEY: json.loads(metadata[KEY])} if KEY in metadata else {}
        return {"state_dict": tensors, **said}
    content = load_torch_file(path)
    if not isinstance(content, dict):
        raise TypeError(f"it holds a {type(content).__name__}")
    return content
