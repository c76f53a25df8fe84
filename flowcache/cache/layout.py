"""Open an entry's file, and look at what it is before any of its content is read.

Everything that is read here lies under a checksum of HDF5's: the superblock, object headers with their
attributes, the indices of chunks, and the chunks themselves. The exception is text of variable length,
which only formats 1 and 2 have: it lies in the file's global heap, and damage there may keep HDF5 busy
for ever. So it is read only where the seal of the whole file holds.

What a file says of its sizes is believed only where it has the bytes for it, and data sets have to be
what `EntryWriter` writes: no links to elsewhere, no other types, shapes, layouts or filters.
"""

import json
import math
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5l, h5s, h5t, h5z

from flowcache.cache import seal
from flowcache.cache.announced import jpeg_size
from flowcache.cache.codec import Codec, codec_named
from flowcache.cache.info import EntryInfo
from flowcache.types import Float32, Float64, UInt8

_CHUNK_CACHE = 1 << 18  # bytes; fields are read once each, so a larger one would only cost memory

JPEG_CHUNK = 1 << 16
"""Bytes of `rgb_jpeg` that lie together."""

INFO_LIMIT = 60_000
"""Bytes of `info` as JSON, so that the attribute fits into its object's header, under the checksum."""

_CHECKSUMMED = (h5z.FILTER_FLETCHER32,)
_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class Opened:
    """An open file and what every read needs of it."""

    file: h5py.File
    info: EntryInfo
    codec: Codec
    flow: h5py.Dataset
    means: Float32
    jpeg: h5py.Dataset
    offsets: npt.NDArray[np.int64]

    def read_times(self) -> Float64:
        """The frames' time stamps, (frames,), seconds. Raises ValueError where they do not rise."""
        times: Float64 = _small(self.file, b"times", h5t.IEEE_F64LE, (self.info.frames,))
        if not (times[1:] > times[:-1]).all():
            raise ValueError("its time stamps do not rise")
        return times

    def read_jpeg(self, frame: int) -> UInt8:
        """The bytes of a frame. Raises ValueError where they are no JPEG of the stored size."""
        encoded: UInt8 = self.jpeg[self.offsets[frame] : self.offsets[frame + 1]]
        try:
            height, width = jpeg_size(encoded.tobytes())
        except ValueError as error:
            raise ValueError(f"frame {frame} is {error}") from None
        if (height, width) != (self.info.height, self.info.width):
            raise ValueError(f"frame {frame} has {width}x{height} pixels")
        return encoded

    def check_description(self, sealed_format: int) -> None:
        """Check what only other programs read: attributes, and how chunks are compressed.

        Raises ValueError where it contradicts `info` or the format that the seal names. This reads text
        of variable length, so the seal has to hold.
        """
        if json.loads(self.file.attrs["info"])["recipe"]["format_version"] != sealed_format:
            raise ValueError(f"its seal is that of format {sealed_format}, and its recipe is not")
        recipe, flow = self.info.recipe, self.flow
        described = {
            "height": self.info.height,
            "dtype": recipe.quantizer.dtype.name,
            "step_px": recipe.quantizer_step,
            "bound_px": recipe.bound,
        }
        for name, value in described.items():
            told = flow.attrs[name]
            if (told.decode() if isinstance(told, bytes) else told) != value:
                raise ValueError(f"its flow has {name} {told}, not {value}")
        for field in range(self.info.fields):
            skipped, chunk = flow.id.read_direct_chunk((field, 0, 0, 0, 0))
            if skipped:
                raise ValueError(f"field {field} is not compressed, or without a checksum")
            try:
                self.codec.require_whole(chunk[:-_CHECKSUM_BYTES], math.prod(flow.chunks))
            except ValueError as error:
                raise ValueError(f"field {field} is {error}") from None

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def open_entry(path: Path) -> Opened:
    """Open an entry for reading.

    Raises what HDF5 and JSON raise, UserError, or ValueError where the file is not what it should be.
    """
    status = file_status(path)
    # Locks fail on some network and read-only mounts, and a whole file needs none.
    file = h5py.File(path, "r", locking=False, rdcc_nbytes=_CHUNK_CACHE)
    try:
        return _examined(file, partial(seal.is_sealed_file, path, status))
    except BaseException:
        file.close()
        raise


def file_status(path: Path) -> os.stat_result:
    """`path.stat()`. OSError for what is no file: to open a pipe would mean to wait for its writer."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is no file")
    return status


def _text_attribute(owner: Any, name: bytes, is_sealed: Callable[[], bool]) -> bytes | None:
    """An attribute that is text, or None where there is none.

    owner: HDF5's identifier of a group or of a data set.
    """
    if not h5a.exists(owner, name):
        return None
    attribute = h5a.open(owner, name)
    kind = attribute.get_type()
    if not isinstance(kind, h5t.TypeStringID):
        raise ValueError(f"its {name.decode()} is no text")
    if kind.is_variable_str():
        if not is_sealed():
            raise ValueError("its bytes do not match its SHA-256")
        text = np.empty(attribute.shape, h5py.string_dtype())
        attribute.read(text)
        return bytes(text[()])
    size = kind.get_size()
    if size > INFO_LIMIT or size != attribute.get_storage_size():
        raise ValueError(f"its {name.decode()} is too long, or more than one text")
    fixed = np.empty((), f"S{size}")
    attribute.read(fixed, mtype=kind)
    return fixed.tobytes().rstrip(b"\0")


def _examined(file: h5py.File, is_sealed: Callable[[], bool]) -> Opened:
    text = _text_attribute(file.id, b"info", is_sealed)
    if text is None:
        raise ValueError("it says nothing of itself: it has no `info`")
    info = EntryInfo.from_json(text)
    offsets = _small(file, b"rgb_offsets", h5t.STD_I64LE, (info.frames + 1,))
    steps = offsets[1:] - offsets[:-1]
    if offsets[0] != 0 or not ((steps > 0) if info.recipe.has_frames else (steps == 0)).all():
        raise ValueError("the places of its frames do not follow each other")
    jpeg = _uncompressed(file, b"rgb_jpeg", h5t.STD_U8LE, (int(offsets[-1]),), (JPEG_CHUNK,))
    flow, codec = _flow(file, info, is_sealed)
    return Opened(
        file=file,
        info=info,
        codec=codec,
        flow=h5py.Dataset(flow, readonly=True),
        means=_small(file, b"flow_mean", h5t.IEEE_F32LE, (info.fields, info.recipe.components)),
        jpeg=h5py.Dataset(jpeg, readonly=True),
        offsets=offsets,
    )


def _flow(
    file: h5py.File, info: EntryInfo, is_sealed: Callable[[], bool]
) -> tuple[h5d.DatasetID, Codec]:
    flow = _open(file, b"flow")
    codec = codec_named(_text_attribute(flow, b"codec", is_sealed))
    recipe = info.recipe
    shape = codec.stored_shape(info.height, info.width, recipe.quantizer.dtype, recipe.components)
    _require(flow, b"flow", h5t.STD_U8LE, (info.fields, *shape), (1, *shape), codec.filters)
    if flow.get_num_chunks() != info.fields:  # a chunk that is not there would be read as zeros
        raise ValueError(f"it has {flow.get_num_chunks()} fields of {info.fields}")
    return flow, codec


def _small(file: h5py.File, name: bytes, kind: h5t.TypeID, shape: tuple[int, ...]) -> Any:
    """What a data set of one chunk holds."""
    dataset = _uncompressed(file, name, kind, shape, shape)
    values = np.empty(shape, kind.dtype)
    dataset.read(h5s.ALL, h5s.ALL, values, kind)
    return values


def _uncompressed(
    file: h5py.File, name: bytes, kind: h5t.TypeID, shape: tuple[int, ...], chunk: tuple[int, ...]
) -> h5d.DatasetID:
    """A data set without compression, for all of which there are bytes."""
    dataset = _open(file, name)
    _require(dataset, name, kind, shape, chunk, _CHECKSUMMED)
    chunks = -(-shape[0] // chunk[0])
    size = chunks * (math.prod(chunk) * kind.get_size() + _CHECKSUM_BYTES)
    if dataset.get_storage_size() != size or size > file.id.get_filesize():
        raise ValueError(f"a part of its {name.decode()} is missing")
    return dataset


def _open(file: h5py.File, name: bytes) -> h5d.DatasetID:
    if file.id.links.get_info(name).type != h5l.TYPE_HARD:
        raise ValueError(f"its {name.decode()} is a link to something else")
    return h5d.open(file.id, name)


def _require(
    dataset: h5d.DatasetID,
    name: bytes,
    kind: h5t.TypeID,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    filters: tuple[int, ...],
) -> None:
    """ValueError where a data set is anything else. Chunks are neither in other files nor virtual."""
    if dataset.shape != shape:
        raise ValueError(f"its {name.decode()} has the shape {dataset.shape}, not {shape}")
    properties = dataset.get_create_plist()
    if (
        not dataset.get_type().equal(kind)
        or properties.get_layout() != h5d.CHUNKED
        or properties.get_chunk() != chunk
        or tuple(properties.get_filter(n)[0] for n in range(properties.get_nfilters())) != filters
    ):
        raise ValueError(f"its {name.decode()} is of another type, layout or filter")
