"""The HDF5 files of denseflow (`-st=h5`), a file a video: `archery/v_01.h5`.

For each field there are two data sets, `flow_x_00000` and `flow_y_00000`, float32 (H, W) in pixels. With
a step that is not 1 the names are `flow_x_p2_00000`, and that of the file `v_01_p2.h5`. Where the data
sets have no such mark, it is a part of the video's own name.

Source: `writeHDF5` in denseflow's `src/common.cpp`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from flowcache.errors import UserError, printable
from flowcache.exchange.contract import Convention
from flowcache.exchange.formats._numbered import in_order, require_size
from flowcache.exchange.formats._pairs import component_in_name, is_pair_name
from flowcache.types import Float32

NEEDS_BOUND = False

_STEP = re.compile(r"_[pm]\d+$")


def video_of(path: Path, root: Path) -> str | None:
    """See `Format`."""
    if path.suffix.lower() not in (".h5", ".hdf5"):
        return None
    name = path.stem
    if (mark := _STEP.search(name)) and _has_mark(path, mark[0]):
        name = name.removesuffix(mark[0])
    return path.relative_to(root).with_name(name).as_posix() if name else None


def read(files: Sequence[Path], convention: Convention) -> Iterator[Float32]:
    """See `Format`."""
    if len(files) > 1:
        names = " and ".join(printable(path.name) for path in sorted(files)[:2])
        raise UserError(f"{names} are flow of one video: take one of them away")
    (path,) = files
    name = printable(path.name)
    try:
        with h5py.File(path, "r", locking=False) as file:
            for dx, dy in _pairs(file, name, convention.frame_step):
                yield np.stack([_component(file, dx), _component(file, dy)])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise UserError(f"{name} cannot be read: {str(error).partition(chr(10))[0]}") from None


def write(place: Path, fields: Iterable[Float32], count: int, convention: Convention) -> None:
    """See `Format`: data sets numbered from 0, as denseflow does, with the step in the names."""
    step = convention.frame_step
    mark = f"_p{step}" if step > 1 else ""
    place.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(place.with_name(f"{place.name}{mark}.h5"), "x") as file:
        for number, field in enumerate(fields):
            for axis, values in zip("xy", field, strict=True):
                file.create_dataset(f"flow_{axis}{mark}_{number:05}", data=values, dtype="<f4")


def _has_mark(path: Path, mark: str) -> bool:
    """Whether the data sets of a file have the mark of a step."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return any(key.startswith(f"flow_x{mark}_") for key in file)
    except (OSError, RuntimeError):  # which is told when it is its turn
        return False


def _pairs(file: Any, name: str, step: int) -> list[tuple[str, str]]:
    """The names of the two data sets of each field, in order."""
    components: tuple[dict[int, str], dict[int, str]] = ({}, {})
    for key in file:
        if is_pair_name(key):
            component, number = component_in_name(key, step)
            components[component][number] = key
    dx, dy = components
    if not dx and not dy:
        raise UserError(f"{name} holds no data sets flow_x_… and flow_y_…, as denseflow's files do")
    if alone := sorted(dx.keys() ^ dy.keys()):
        raise UserError(
            f"{name} has {len(dx)} fields of dx and {len(dy)} of dy: number {alone[0]} is in one alone"
        )
    return in_order({number: (dx[number], dy[number]) for number in dx})


def _component(file: Any, key: str) -> Float32:
    if not isinstance(file.get(key, getlink=True), h5py.HardLink):
        raise UserError(f"{key} is a link to something else")
    dataset = file[key]
    if (
        not isinstance(dataset, h5py.Dataset)
        or dataset.ndim != 2
        or dataset.dtype.kind != "f"
        or dataset.external
        or dataset.is_virtual
    ):
        raise UserError(f"{key} is no data set of floats (H, W) in this file")
    require_size(key, *dataset.shape)
    values: Float32 = dataset.astype(np.float32)[...]
    return values
