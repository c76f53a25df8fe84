"""How codes lie in HDF5, so that the Zstd filter finds little to keep. A codec is a named value.

Flow is smooth, so a code is close to its neighbours. Each is replaced by its difference from the one
above, each of these by its difference from the one before, signs are folded into the lowest bit, and
the 2-bit digits of the small numbers that remain are sorted by place: the high digits become planes
of zeros, and the low ones have four to a byte. docs/formats.md undoes it in a few lines of NumPy.

Another codec is another value of the same shape in `CODECS`, under an id of its own.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

from flowcache.cache.announced import zstd_size
from flowcache.errors import UserError
from flowcache.types import Codes, UInt8


class Codec(Protocol):
    """One way to lay quantised fields into a data set."""

    @property
    def id(self) -> str:
        """What the data set's attribute `codec` holds; one that is in use never changes its meaning."""
        ...

    @property
    def filters(self) -> tuple[int, ...]:
        """HDF5's numbers of the filters that a chunk goes through when it is written, in this order."""
        ...

    def create_dataset(
        self,
        file: h5py.File,
        name: str,
        height: int,
        width: int,
        dtype: Any,
        components: int = 2,
    ) -> h5py.Dataset:
        """An empty data set that grows by whole fields, one field a chunk, for what `pack` returns."""
        ...

    def stored_shape(
        self, height: int, width: int, dtype: npt.DTypeLike, components: int = 2
    ) -> tuple[int, ...]:
        """The shape of one field as `pack` returns it."""
        ...

    def require_whole(self, chunk: bytes, size: int) -> None:
        """ValueError, which says what it is, for a chunk (less its checksum) of another size in bytes."""
        ...

    def pack(self, codes: Codes) -> UInt8:
        """Codes int8 or int16 (T, C, H, W) → what is stored; C is 2, or 4 with the flow backward."""
        ...

    def unpack(self, stored: UInt8, height: int, dtype: npt.DTypeLike) -> Codes:
        """Undo `pack`. ValueError where what is stored cannot be fields of this height and type."""
        ...


class DigitPlanes:
    """Differences in two directions, and the 2-bit digits of what remains, sorted by place."""

    id = "digit-planes-1"
    filters = (hdf5plugin.Zstd.filter_id, h5py.h5z.FILTER_FLETCHER32)

    _PREDICTOR = (
        "Differences, modulo the integers' range. With rows taken in fours, order the values as (row "
        "mod 4, component, row div 4, column); a running sum over all of them undoes the second "
        "difference. Put the rows in order and leave out those from `height` on; a running sum down "
        "each column undoes the first."
    )
    _PACKING = (
        "Each difference d is the unsigned u = 2d where d >= 0, else -2d - 1. A field is (digit, "
        "component, row div 4, column): the 2-bit digit k of u, the lowest being 0, is in plane k, "
        "and there the row with row mod 4 = i has the bits 2i and 2i + 1."
    )

    def create_dataset(
        self,
        file: h5py.File,
        name: str,
        height: int,
        width: int,
        dtype: Any,
        components: int = 2,
    ) -> h5py.Dataset:
        """See `Codec`."""
        shape = self.stored_shape(height, width, dtype, components)
        dataset = file.create_dataset(
            name,
            (0, *shape),
            np.uint8,
            maxshape=(None, *shape),
            chunks=(1, *shape),
            fletcher32=True,
            **hdf5plugin.Zstd(clevel=6),
        )
        # Text of fixed length: what has a variable one lies where HDF5 has no checksum.
        dataset.attrs["codec"] = np.bytes_(self.id)
        dataset.attrs["predictor"] = np.bytes_(self._PREDICTOR)
        dataset.attrs["packing"] = np.bytes_(self._PACKING)
        dataset.attrs["height"] = height
        dataset.attrs["dtype"] = np.bytes_(np.dtype(dtype).name)
        return dataset

    def stored_shape(
        self, height: int, width: int, dtype: npt.DTypeLike, components: int = 2
    ) -> tuple[int, ...]:
        """See `Codec`."""
        return (4 * np.dtype(dtype).itemsize, components, -(-height // 4), width)

    def require_whole(self, chunk: bytes, size: int) -> None:
        """See `Codec`. HDF5 reads past the end of a smaller one, and a larger one takes memory."""
        if zstd_size(chunk) != size:
            raise ValueError(f"one of {zstd_size(chunk)} bytes, not of {size}")

    def pack(self, codes: Codes) -> UInt8:
        """See `Codec`: uint8 (T, digits, C, ⌈H / 4⌉, W). Needs Numba."""
        from flowcache.cache.codec_kernels import pack_fields

        values = np.ascontiguousarray(codes).view(_unsigned(codes.dtype))
        count, components, height, width = codes.shape
        shape = (count, *self.stored_shape(height, width, codes.dtype, components))
        size = math.prod(shape[2:])  # of one digit of one field
        words = np.empty((len(codes), codes.itemsize, 4, -(-size // 8)), np.uint64)
        numbers = np.empty(words.shape[1:], np.uint64)
        differences = np.zeros((4, 8 * words.shape[3]), values.dtype)
        folded = np.zeros_like(differences)
        pack_fields(values, words, size, numbers, numbers.view(np.uint8), differences, folded)
        return words.view(np.uint8)[..., :size].reshape(shape)

    def unpack(self, stored: UInt8, height: int, dtype: npt.DTypeLike) -> Codes:
        """See `Codec`. Without Numba it takes some fifty times as long."""
        dtype, shape = np.dtype(dtype), stored.shape
        if len(shape) != 5 or shape[1:] != self.stored_shape(height, shape[-1], dtype, shape[2]):
            raise ValueError(f"{shape} cannot hold {dtype} fields of {height} rows")
        unpack_fields = _compiled_unpack_fields()
        if unpack_fields is None:
            return unpack_in_numpy(stored, height, dtype)
        planes = np.ascontiguousarray(stored)
        planes = planes.reshape(len(stored), dtype.itemsize, 4, math.prod(shape[2:]))
        if planes.shape[3] % 8:
            # Zeros are differences of zero, so they change no running sum.
            planes = np.pad(planes, ((0, 0), (0, 0), (0, 0), (0, -planes.shape[3] % 8)))
        words = planes.view(np.uint64)
        values = np.empty((len(stored), shape[2], height, shape[-1]), _unsigned(dtype))
        numbers = np.empty(words.shape[1:], np.uint64)
        differences = np.empty((4, 8 * words.shape[3]), values.dtype)
        carries = np.empty(words.shape[3], np.uint64)
        unpack_fields(words, values, numbers, numbers.view(np.uint8), differences, carries)
        return values.view(dtype)


DEFAULT: Codec = DigitPlanes()
"""What entries are written with."""

CODECS: Mapping[str, Codec] = {codec.id: codec for codec in (DEFAULT,)}
"""What can be read."""


def codec_named(name: bytes | None) -> Codec:
    """The codec that a data set names; entries of format 1 name none and have the first that there was.

    Raises UserError for one that this version does not know.
    """
    known = DigitPlanes.id if name is None else name.decode(errors="replace")
    if known not in CODECS:
        raise UserError(
            f"its codec {known!r} is unknown to this version, which reads {', '.join(CODECS)}: use the "
            "version that wrote it"
        )
    return CODECS[known]


def unpack_in_numpy(stored: UInt8, height: int, dtype: np.dtype[Any]) -> Codes:
    """What `DigitPlanes.unpack` does, in plain NumPy."""
    count, digits, components, groups, width = stored.shape
    u = np.zeros((count, 4, components, groups, width), _unsigned(dtype))
    for row in range(4):
        for digit in range(digits):
            u[:, row] |= (stored[:, digit] >> 2 * row & 3).astype(u.dtype) << 2 * digit
    d = np.where(u & 1, ~(u >> 1), u >> 1)
    values = np.cumsum(d.reshape(count, -1), axis=1, dtype=u.dtype).reshape(u.shape)
    rows = values.transpose(0, 2, 3, 1, 4).reshape(count, components, 4 * groups, width)
    return np.cumsum(rows[:, :, :height], axis=2, dtype=u.dtype).view(dtype)


@cache
def _compiled_unpack_fields() -> Any:
    """The compiled loops, or None where Numba cannot be had. The import takes half a second."""
    try:
        from flowcache.cache.codec_kernels import unpack_fields
    except ImportError:
        return None
    return unpack_fields


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Unsigned arithmetic is modulo the range, which is what the differences need."""
    return np.dtype(np.uint8 if dtype.itemsize == 1 else np.uint16)
