"""Middlebury's `.flo`, one file a field: `archery/v_01/00001.flo`.

Little-endian: the float 202021.25 (the bytes `PIEH`), width and height as int32, then float32 dx and dy
of each pixel, row by row. A value beyond ± 10⁹ says that the displacement is not known.

Source: Baker et al. 2011, "A Database and Evaluation Methodology for Optical Flow", IJCV, and the README
of its code, `flow-code/README.txt`.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from flowcache.errors import UserError, printable
from flowcache.exchange.contract import Convention
from flowcache.exchange.formats._numbered import (
    by_number,
    folder_id,
    in_order,
    is_numbered,
    require_size,
)
from flowcache.types import Float32

NEEDS_BOUND = False

_HEADER = struct.Struct("<4sii")
_TAG = b"PIEH"
_UNKNOWN = 1e9


def video_of(path: Path, root: Path) -> str | None:
    """See `Format`."""
    there = path.suffix.lower() == ".flo" and is_numbered(path)
    return folder_id(path.parent, root) if there else None


def read(files: Sequence[Path], convention: Convention) -> Iterator[Float32]:
    """See `Format`."""
    for path in in_order(by_number(files)):
        yield _read_field(path)


def write(place: Path, fields: Iterable[Float32], count: int, convention: Convention) -> None:
    """See `Format`: `flow_00001.flo` and so on, numbered from 1."""
    place.mkdir(parents=True)
    for number, field in enumerate(fields, 1):
        _, height, width = field.shape
        values = np.ascontiguousarray(field.transpose(1, 2, 0), "<f4")
        content = _HEADER.pack(_TAG, width, height) + values.tobytes()
        (place / f"flow_{number:05}.flo").write_bytes(content)


def _read_field(path: Path) -> Float32:
    name = printable(path.name)
    content = path.read_bytes()
    if len(content) < _HEADER.size or not content.startswith(_TAG):
        raise UserError(f"{name} is no .flo file: it does not begin with PIEH and a size")
    _, width, height = _HEADER.unpack_from(content)
    require_size(name, height, width)
    expected = _HEADER.size + 8 * width * height
    if len(content) != expected:
        raise UserError(
            f"{name} has {len(content)} bytes, and {width}x{height} pixels take {expected}"
        )
    values = np.frombuffer(content, "<f4", offset=_HEADER.size).reshape(height, width, 2)
    # As an expression that is also true of what is no number.
    unknown = ~(np.abs(values) <= _UNKNOWN).all(2)
    field = values.transpose(2, 0, 1).astype(np.float32)
    field[:, unknown] = np.nan
    return field
