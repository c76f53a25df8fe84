"""Read one cache entry: one video's flow and frames in one self-describing HDF5 file.

The format is written down in docs/formats.md. Every data set carries Fletcher-32 checksums, HDF5's
own structures carry theirs, and the user block in front of the file holds the SHA-256 of all that
follows. What is read is under a checksum, see `layout`; `verify` finds any changed byte.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Self, SupportsIndex, TypeVar, overload

import cv2
import numpy as np

from flowcache import indexing
from flowcache.cache import layout, seal
from flowcache.cache.info import EntryInfo
from flowcache.cache.layout import Opened
from flowcache.errors import UserError
from flowcache.types import Codes, Float32, Float64, FlowStack, UInt8

SUFFIX = ".h5"

_CAUSES = (
    UserError,
    OSError,
    LookupError,
    TypeError,
    RuntimeError,
    ValueError,
    ArithmeticError,
    cv2.error,
)
"""What HDF5, JSON, OpenCV and our own checks raise for a damaged file."""

Item = TypeVar("Item")
Stack = TypeVar("Stack")


class EntryError(UserError):
    """An entry that cannot give what it is asked for."""

    def __init__(self, message: str) -> None:
        # From a loading process, torch raises this again with a traceback that ends in the message.
        super().__init__(message.strip().rpartition(f"{type(self).__name__}: ")[2])


class DamagedEntryError(EntryError):
    """A cache entry that is not what its writer wrote."""


class NoFramesError(EntryError):
    """Frames are asked for, of an entry whose flow was imported without them."""


class NoBackwardFlowError(EntryError):
    """Flow backward in time is asked for, of an entry that has it forward alone."""


class Items(Generic[Item, Stack]):
    """The frames or the fields of an entry: a number gives one, a slice or several numbers a stack.

    As in a list, negative numbers count from the end, and a number that does not exist is an IndexError.
    """

    def __init__(self, what: str, count: int, read: Callable[[Sequence[int]], Any]) -> None:
        self._what, self._count, self._read = what, count, read

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, key: SupportsIndex) -> Item: ...

    @overload
    def __getitem__(self, key: slice | Iterable[SupportsIndex]) -> Stack: ...

    def __getitem__(self, key: indexing.Key) -> Any:
        stack = self._read(indexing.numbers(key, self._count, self._what))
        return stack[0] if indexing.is_single(key) else stack


class Entry:
    """One entry, opened for reading at first use, once per process; it pickles as its path.

    Every access raises DamagedEntryError where the file does not hold what it should.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._open: Opened | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_open": None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Entry({str(self.path)!r})"

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._open:
            self._open.close()
            self._open = None

    @contextmanager
    def _reading(self) -> Iterator[Opened]:
        try:
            if self._open is None:
                self._open = layout.open_entry(self.path)
            yield self._open
        except _CAUSES as error:
            raise DamagedEntryError(f"{self.path}: {_first_line(error)}") from error

    @property
    def info(self) -> EntryInfo:
        """What the entry says of itself."""
        with self._reading() as opened:
            return opened.info

    @property
    def flow(self) -> Items[Float32, FlowStack]:
        """The fields in pixels: `flow[3]` is float32 (2, H, W), `flow[10:20]` a FlowStack."""
        return Items("field", self.info.fields, self._read_flow)

    @property
    def backward(self) -> Items[Float32, FlowStack]:
        """The fields that lead back, as `flow`: number t from frame t + step to frame t, in pixels.

        Raises NoBackwardFlowError where they were not computed.
        """
        if not self.info.recipe.backward:
            raise NoBackwardFlowError(
                f"{self.path} holds no flow backward in time: extract it with `--backward` into "
                "another cache"
            )
        return Items("field", self.info.fields, self._read_backward)

    @property
    def codes(self) -> Items[Codes, Codes]:
        """The fields as stored, int8 or int16 (…, C, H, W); one chunk is read for each.

        C is `Recipe.components`: dx and dy, and those of the flow backward where it is kept.
        """
        return Items("field", self.info.fields, self._read_codes)

    @property
    def rgb(self) -> Items[UInt8, UInt8]:
        """The frames, uint8 (…, H, W, 3). Raises NoFramesError where none are kept."""
        if not self.info.recipe.has_frames:
            raise NoFramesError(
                f"{self.path} holds no frames, since its flow was imported without videos: import it "
                "again with them, or use the temporal stream alone"
            )
        return Items("frame", self.info.frames, self._read_rgb)

    @property
    def flow_means(self) -> Float32:
        """The mean displacement of each stored field, (fields, C), pixels; see `codes`."""
        with self._reading() as opened:
            return opened.means

    @property
    def times(self) -> Float64:
        """Time stamps of all frames, (frames,), seconds."""
        with self._reading() as opened:
            return opened.read_times()

    def _read_flow(self, numbers: Sequence[int]) -> FlowStack:
        return self.info.recipe.quantizer.decode(self._read_codes(numbers)[:, :2])

    def _read_backward(self, numbers: Sequence[int]) -> FlowStack:
        return self.info.recipe.quantizer.decode(self._read_codes(numbers)[:, 2:])

    def _read_codes(self, numbers: Sequence[int]) -> Codes:
        with self._reading() as opened:
            stored = np.empty((len(numbers), *opened.flow.shape[1:]), opened.flow.dtype)
            for slot, first, count in _runs(numbers):
                fields, slots = np.s_[first : first + count], np.s_[slot : slot + count]
                opened.flow.read_direct(stored, fields, slots)
            return opened.codec.unpack(
                stored, opened.info.height, opened.info.recipe.quantizer.dtype
            )

    def _read_rgb(self, numbers: Sequence[int]) -> UInt8:
        with self._reading() as opened:
            size = (opened.info.height, opened.info.width)
            frames = [opened.read_jpeg(number) for number in numbers]
            rgb = np.empty((len(frames), *size, 3), np.uint8)
            for slot, (number, encoded) in enumerate(zip(numbers, frames, strict=True)):
                decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
                if decoded is None or decoded.shape[:2] != size:
                    raise ValueError(f"frame {number} cannot be decoded")
                rgb[slot] = decoded
        return rgb

    def verify(self) -> EntryInfo:
        """Read everything, check every checksum and count; DamagedEntryError says what is wrong."""
        try:
            sealed_format = self.check_seal()
            with self._reading() as opened:
                opened.check_description(sealed_format)
            info, means, _ = self.info, self.flow_means, self.times
            levels = info.recipe.quantizer.levels
            for index in range(info.fields):
                codes = self.codes[index]
                mean = codes.mean((1, 2), np.float64) * info.recipe.quantizer_step
                if not np.allclose(mean, means[index], atol=1e-4):
                    raise DamagedEntryError(f"{self.path}: field {index} has another mean")
                if codes.min() < -levels or codes.max() > levels:
                    raise DamagedEntryError(f"{self.path}: field {index} goes beyond its bound")
            for index in range(info.frames if info.recipe.has_frames else 0):
                _ = self.rgb[index]
            return info
        finally:
            self.close()

    def check_seal(self) -> int:
        """Read the whole file for its SHA-256; returns the format that its seal names.

        Raises DamagedEntryError where a byte is not what was written.
        """
        try:
            layout.file_status(self.path)
            with self.path.open("rb") as raw:
                sealed_format = seal.sealed_format(raw)
        except OSError as error:
            raise DamagedEntryError(f"{self.path}: {_first_line(error)}") from error
        if sealed_format is None:
            raise DamagedEntryError(f"{self.path}: its bytes do not match its SHA-256")
        return sealed_format


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Runs of consecutive numbers, as (position, first number, count).

    Reading a run is one call, and a call costs as much as a field.
    """
    start = 0
    for end in range(1, len(indices) + 1):
        if end == len(indices) or indices[end] != indices[end - 1] + 1:
            yield start, indices[start], end - start
            start = end


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
