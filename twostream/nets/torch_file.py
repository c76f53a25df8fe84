"""Files that `torch.save` wrote, read only where no byte has changed."""

import pickle
import warnings
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch


def load_torch_file(path: str | Path) -> Any:
    """What `torch.save` put into a file, on the CPU; nothing in it is executed.

    Such a file is a ZIP archive of records with a CRC-32 each, which PyTorch does not look at: a changed
    bit would be another weight. Files of before PyTorch 1.6 are no archives, and have no checksum.

    Raises ValueError where a checksum is wrong, and for objects that could execute code; and whatever
    else `torch.load` and `zipfile` raise.
    """
    with Path(path).open("rb") as file:
        is_pickle = file.read(1) == b"\x80"
    if not is_pickle:
        with ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of its record {damaged} is wrong")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # whose words tell how to execute it
        raise ValueError("it is damaged, or holds objects that could execute code") from None
