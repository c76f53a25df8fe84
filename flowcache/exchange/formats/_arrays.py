"""NumPy's `.npy` format, read field by field, whatever it lies in.

The dtype of a header may ask for Python objects, whose reading runs code that the file holds. Such a file
is refused before anything but its header is read.

Source: the docstring of `numpy.lib.format`.
"""

import math
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from flowcache.errors import UserError
from flowcache.exchange.formats._numbered import require_size
from flowcache.types import Float32

# What NumPy raises for a header, which is parsed as an expression of Python.
_NO_HEADER = (
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True)
class Header:
    """What an array's file says of it."""

    shape: tuple[int, ...]
    dtype: Any
    fortran: bool

    @property
    def is_field(self) -> bool:
        """Whether it holds a single field, and not those of a video."""
        return len(self.shape) == 3


def read_header(file: IO[bytes], name: str) -> Header:
    """The header of an array; the file stands behind it afterwards. UserError where it is none."""
    try:
        version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(file)  # type: ignore[no-untyped-call]
    except _NO_HEADER:
        raise UserError(f"{name} is no array of NumPy, or its header is damaged") from None
    if min(shape, default=0) < 0:
        raise UserError(f"{name} has the shape {shape}, and no axis is shorter than nothing")
    return Header(shape, dtype, fortran)


def read_fields(file: IO[bytes], header: Header, name: str) -> Iterator[Float32]:
    """The fields (2, H, W) of an array that begins where the file stands.

    It is (T, 2, H, W), (T, H, W, 2), (2, H, W) or (H, W, 2), of floats.
    """
    if header.dtype.hasobject:
        raise UserError(
            f"{name} holds Python objects, and reading them could run code: save floats"
        )
    if header.dtype.kind != "f":
        raise UserError(f"{name} holds {header.dtype}, and displacements are floats")
    if header.fortran:
        raise UserError(f"{name} is in Fortran's order: save it with numpy.ascontiguousarray")
    count, *shape = (1, *header.shape) if header.is_field else (header.shape or (0,))
    first, last = (len(shape) == 3 and shape[axis] == 2 for axis in (0, -1))
    if first == last:
        raise UserError(
            f"{name} has the shape {header.shape}, and flow is (T, 2, H, W) or (T, H, W, 2)"
        )
    require_size(name, *(shape[1:] if first else shape[:2]))
    size = math.prod(shape) * header.dtype.itemsize
    for number in range(count):
        content = file.read(size)
        if len(content) != size:
            raise UserError(f"{name} ends in field {number} of {count}")
        field = np.frombuffer(content, header.dtype).reshape(shape)
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which is not known
            displacements = (field if first else np.moveaxis(field, 2, 0)).astype(np.float32)
        yield displacements


def write_fields(file: IO[bytes], fields: Iterable[Float32], count: int) -> None:
    """Write fields as an array, float32 (T, 2, H, W), of which one is in memory at a time."""
    for number, field in enumerate(fields):
        if number == 0:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, *field.shape)}
            np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        file.write(np.ascontiguousarray(field, "<f4").tobytes())
