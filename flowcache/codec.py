"""How codes lie in HDF5: what is done to them before the filter, and the filter."""

from typing import Any

import h5py
import hdf5plugin
import numpy as np

from flowcache.quantize import Codes


def create_dataset(file: h5py.File, name: str, height: int, width: int, dtype: Any) -> h5py.Dataset:
    """An empty data set that grows by whole fields, one field a chunk, for what `pack` returns."""
    shape = (2, height, width)
    dataset = file.create_dataset(
        name,
        (0, *shape),
        dtype,
        maxshape=(None, *shape),
        chunks=(1, *shape),
        fletcher32=True,
        **hdf5plugin.Zstd(clevel=3),
    )
    dataset.attrs["predictor"] = "difference along x; undo by a running sum"
    return dataset


def pack(codes: Codes) -> Any:
    """Codes (T, 2, H, W) → what is stored, (T, …)."""
    residual = codes.copy()
    residual[..., 1:] -= codes[..., :-1]
    return residual


def unpack(stored: Any, height: int, dtype: Any) -> Codes:
    """Undo `pack`."""
    return np.add.accumulate(stored, axis=-1, dtype=dtype)
