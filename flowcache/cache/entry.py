"""One cache entry: one video's flow and frames in one self-describing HDF5 file.

The layout is written down in docs/formats.md. Every data set carries Fletcher-32 checksums, HDF5's
own structures carry theirs, and the user block in front of the file holds the SHA-256 of all that
follows, so that no changed byte goes unnoticed.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import h5py
import numpy as np
import numpy.typing as npt

from flowcache.atomic import atomic_path
from flowcache.cache import codec
from flowcache.cache.recipe import FORMAT_VERSION, Recipe
from flowcache.errors import UserError
from flowcache.types import Codes, Float32, Float64, FlowStack, Frames, UInt8
from flowcache.video.decode import display_times

SUFFIX = ".h5"
_USER_BLOCK = 512
_MAGIC = f"twostream flow cache entry, format {FORMAT_VERSION}\n"
_JPEG_CHUNK = 1 << 16


class DamagedEntryError(UserError):
    """A cache entry that is not what its writer wrote."""

    def __init__(self, message: str) -> None:
        # From a loading process, torch raises this again with a traceback that ends in the message.
        super().__init__(message.strip().rpartition(f"{type(self).__name__}: ")[2])


@dataclass(frozen=True, kw_only=True)
class Source:
    """The video that an entry was made from; `name` is its path under the folder of videos."""

    name: str
    size_bytes: int
    sha256: str
    modified_ns: int

    @classmethod
    def of(cls, path: Path, name: str) -> Self:
        """Reads the whole file for its digest."""
        stat = path.stat()
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(name=name, size_bytes=stat.st_size, sha256=sha256, modified_ns=stat.st_mtime_ns)

    def is_still(self, path: Path) -> bool:
        """Is this file what the entry was made from? Hashes it only where size or date leave doubt."""
        stat = path.stat()
        if stat.st_size != self.size_bytes:
            return False
        return stat.st_mtime_ns == self.modified_ns or Source.of(path, "").sha256 == self.sha256


@dataclass(frozen=True, kw_only=True)
class EntryInfo:
    """What an entry says of itself.

    original_width, original_height: of the upright video; width, height: as stored. Pixels.
    frames, fields: how many of each; fields = frames − frame_step.
    frame_rate: as the container states it, 0 where it states none. Hz.
    times_from: where the time stamps come from, see `video.display_times`.
    saturated: how many displacement components lay beyond the bound.
    partial: why the video was not decoded to its end, empty where it was.
    """

    recipe: Recipe
    source: Source
    original_width: int
    original_height: int
    width: int
    height: int
    frames: int
    fields: int
    frame_rate: float
    times_from: str
    saturated: int
    partial: str

    @property
    def saturated_share(self) -> float:
        """The share of displacement components that lay beyond the bound."""
        return self.saturated / (self.fields * 2 * self.height * self.width)

    def to_json(self) -> str:
        """As text, keys sorted, the recipe and the source nested."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From `to_json`'s text."""
        values = json.loads(text)
        values["recipe"] = Recipe(**values["recipe"])
        values["source"] = Source(**values["source"])
        return cls(**values)


class EntryWriter:
    """Collects one video's batches into an open HDF5 file; made by `write_entry`."""

    def __init__(self, file: h5py.File, recipe: Recipe) -> None:
        self._file = file
        self._recipe = recipe
        self._times: list[Float64] = []
        self._means: list[Float32] = []
        self._offsets = [0]
        self._flow: h5py.Dataset | None = None
        self._jpeg = file.create_dataset(
            "rgb_jpeg", (0,), np.uint8, maxshape=(None,), chunks=(_JPEG_CHUNK,), fletcher32=True
        )
        self.saturated = 0

    @property
    def frames(self) -> int:
        """Frames so far."""
        return len(self._offsets) - 1

    @property
    def fields(self) -> int:
        """Fields so far."""
        return 0 if self._flow is None else len(self._flow)

    def add_frames(self, frames: Frames) -> None:
        """Append frames as JPEG."""
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._recipe.jpeg_quality]
        encoded = [
            cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)[1] for rgb in frames
        ]
        for jpeg in encoded:
            self._offsets.append(self._offsets[-1] + len(jpeg))
        start = len(self._jpeg)
        self._jpeg.resize(self._offsets[-1], axis=0)
        self._jpeg[start:] = np.concatenate(encoded)
        self._times.append(frames.times)

    def add_codes(self, codes: Codes, saturated: int) -> None:
        """Append quantised fields (T, 2, H, W), of whose numbers so many saturated."""
        if self._flow is None:
            self._flow = self._create_flow(codes)
        start = len(self._flow)
        self._flow.resize(start + len(codes), axis=0)
        self._flow[start:] = codec.pack(codes)
        # Of the codes, not of the flow: it is the stored fields' mean that is subtracted.
        self._means.append(
            codes.mean((2, 3), np.float64).astype(np.float32)
            * np.float32(self._recipe.quantizer_step)
        )
        self.saturated += saturated

    def _create_flow(self, codes: Codes) -> h5py.Dataset:
        height, width = codes.shape[2:]
        flow = codec.create_dataset(self._file, "flow", height, width, codes.dtype)
        flow.attrs["step_px"] = self._recipe.quantizer_step
        flow.attrs["bound_px"] = self._recipe.bound
        self._height, self._width = height, width
        return flow

    def finish(self, source: Source, size: tuple[int, int], rate: Any, partial: str) -> EntryInfo:
        """Write what is known only at the end."""
        if self._flow is None:
            raise ValueError("an entry needs at least one field")
        times, times_from = display_times(np.concatenate(self._times), rate)
        info = EntryInfo(
            recipe=self._recipe,
            source=source,
            original_width=size[0],
            original_height=size[1],
            width=self._width,
            height=self._height,
            frames=self.frames,
            fields=self.fields,
            frame_rate=float(rate or 0),
            times_from=times_from,
            saturated=self.saturated,
            partial=partial,
        )
        for name, values in (
            ("flow_mean", np.concatenate(self._means)),
            ("times", times),
            ("rgb_offsets", np.array(self._offsets, np.int64)),
        ):
            self._file.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
        self._file["flow_mean"].attrs["units"] = "px"
        self._file["times"].attrs["units"] = "s"
        self._file.attrs["info"] = info.to_json()
        return info


@contextmanager
def write_entry(path: Path, recipe: Recipe) -> Iterator[EntryWriter]:
    """Write an entry; it appears under its name, whole and sealed, when the block ends well."""
    with atomic_path(path) as temporary:
        with h5py.File(temporary, "w", libver=("v110", "v110"), userblock_size=_USER_BLOCK) as file:
            yield EntryWriter(file, recipe)
        with temporary.open("r+b") as raw:
            raw.seek(_USER_BLOCK)
            seal = _seal(hashlib.file_digest(raw, "sha256").hexdigest())
            raw.seek(0)
            raw.write(seal)


@dataclass(frozen=True)
class _Opened:
    """An open file and what every read needs of it."""

    file: h5py.File
    info: EntryInfo
    flow: h5py.Dataset
    jpeg: h5py.Dataset
    offsets: npt.NDArray[np.int64]
    means: Float32


class Entry:
    """One entry, opened for reading at first use, once per process; it pickles as its path.

    Every method raises DamagedEntryError where the file does not hold what it should.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: _Opened | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_open": None}

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._open:
            self._open.file.close()
            self._open = None

    @contextmanager
    def _reading(self) -> Iterator[_Opened]:
        try:
            if self._open is None:
                # Locks fail on some network and read-only mounts, and a whole file needs none.
                # Fields are read once each, so a cache of chunks would only cost memory.
                file = h5py.File(self.path, "r", locking=False, rdcc_nbytes=4 * _JPEG_CHUNK)
                info = EntryInfo.from_json(file.attrs["info"])
                offsets, means = file["rgb_offsets"][:], file["flow_mean"][:]
                self._open = _Opened(file, info, file["flow"], file["rgb_jpeg"], offsets, means)
            yield self._open
        except (UserError, OSError, LookupError, TypeError, RuntimeError, ValueError) as error:
            raise DamagedEntryError(f"{self.path}: {_first_line(error)}") from error

    def info(self) -> EntryInfo:
        """What the entry says of itself."""
        with self._reading() as opened:
            return opened.info

    def codes(self, indices: Sequence[int]) -> Codes:
        """Fields by number → int8 or int16 (n, 2, H, W); one chunk is read for each."""
        with self._reading() as opened:
            stored = np.empty((len(indices), *opened.flow.shape[1:]), opened.flow.dtype)
            for slot, first, count in _runs(indices):
                fields, slots = np.s_[first : first + count], np.s_[slot : slot + count]
                opened.flow.read_direct(stored, fields, slots)
            return codec.unpack(stored, opened.info.height, opened.info.recipe.quantizer.dtype)

    def flow(self, indices: Sequence[int]) -> FlowStack:
        """Fields by number, in pixels."""
        return self.info().recipe.quantizer.decode(self.codes(indices))

    def flow_means(self) -> Float32:
        """The mean displacement of each stored field, (fields, 2), pixels."""
        with self._reading() as opened:
            return opened.means

    def times(self) -> Float64:
        """Time stamps of all frames, (frames,), seconds."""
        with self._reading() as opened:
            return np.asarray(opened.file["times"][:])

    def rgb(self, indices: Sequence[int]) -> UInt8:
        """Frames by number → uint8 (n, H, W, 3)."""
        with self._reading() as opened:
            rgb = np.empty((len(indices), opened.info.height, opened.info.width, 3), np.uint8)
            for slot, index in enumerate(indices):
                encoded = opened.jpeg[opened.offsets[index] : opened.offsets[index + 1]]
                decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
                if decoded is None:
                    raise ValueError(f"frame {index} is no JPEG")
                rgb[slot] = decoded
        return rgb

    def verify(self) -> EntryInfo:
        """Read everything, check every checksum and count; DamagedEntryError says what is wrong."""
        try:
            self._check_seal()
            info = self.info()
            self._check_counts(info)
            means = self.flow_means()
            for index in range(info.fields):
                mean = self.codes([index]).mean((2, 3), np.float64) * info.recipe.quantizer_step
                if not np.allclose(mean, means[index], atol=1e-4):
                    raise DamagedEntryError(f"{self.path}: field {index} has another mean")
            for index in range(info.frames):
                self.rgb([index])
            return info
        finally:
            self.close()

    def _check_seal(self) -> None:
        try:
            with self.path.open("rb") as raw:
                found = raw.read(_USER_BLOCK)
                expected = _seal(hashlib.file_digest(raw, "sha256").hexdigest())
        except OSError as error:
            raise DamagedEntryError(f"{self.path}: {_first_line(error)}") from error
        if found != expected:
            raise DamagedEntryError(f"{self.path}: its bytes do not match its SHA-256")

    def _check_counts(self, info: EntryInfo) -> None:
        with self._reading() as opened:
            found = {
                "fields": opened.flow.shape[0],
                "means": opened.means.shape[0],
                "time stamps": opened.file["times"].shape[0],
                "frame offsets": len(opened.offsets) - 1,
                "bytes of frames": opened.jpeg.shape[0],
            }
            expected = dict(zip(found, (info.fields,) * 2 + (info.frames,) * 2, strict=False))
            expected["bytes of frames"] = int(opened.offsets[-1])
        for name, count in expected.items():
            if found[name] != count:
                raise DamagedEntryError(f"{self.path}: it holds {found[name]} {name}, not {count}")
        if info.fields != info.frames - info.recipe.frame_step:
            raise DamagedEntryError(
                f"{self.path}: {info.frames} frames cannot have {info.fields} fields"
            )


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Runs of consecutive numbers, as (position, first number, count).

    Reading a run is one call, and a call costs as much as a field.
    """
    start = 0
    for end in range(1, len(indices) + 1):
        if end == len(indices) or indices[end] != indices[end - 1] + 1:
            yield start, indices[start], end - start
            start = end


def _seal(digest: str) -> bytes:
    return f"{_MAGIC}sha256 of the bytes from {_USER_BLOCK} on: {digest}\n".encode().ljust(
        _USER_BLOCK, b"\0"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
