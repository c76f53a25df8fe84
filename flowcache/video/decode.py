"""Decode a video: frames in display order, upright, resized, with time stamps, as a stream."""

from collections.abc import Container, Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Self, SupportsIndex, TypeAlias, overload

import av
import numpy as np

from flowcache import indexing
from flowcache.errors import UserError
from flowcache.types import Float64, Frames, UInt8
from flowcache.video import containers
from flowcache.video.containers.structure import Structure
from flowcache.video.ffmpeg_log import logged_errors
from flowcache.video.resize import AS_IT_IS, Resize
from flowcache.video.strict_decoder import DamagedDataError, StrictDecoder

EXTENSIONS = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
"""File names that end so are taken for videos when a folder is searched."""


_Opened = tuple[av.container.InputContainer, av.VideoStream, str]
"""The file, its video stream, and what FFmpeg logged as an error of the file's layout."""


_Packet: TypeAlias = "av.Packet[av.VideoStream]"


class BrokenVideoError(UserError):
    """A video that cannot be decoded to its end; the message says where it broke and why."""


class Video:
    """One video file. It is decoded from its start to its end as often as it is asked for.

    `len(video)` and square brackets count the frames that decode, because containers lie: the first
    use decodes the whole file. A slice gives `Frames`; the frames before it have to be decoded too.
    """

    path: Path
    size: tuple[int, int] | None
    """(width, height) as shown, that is with the rotation applied; known from the first frame on."""

    rate: Fraction | None
    """Frames per second as the container states it."""

    expected_frames: int
    """What the container leads one to expect; for progress only."""

    def __init__(self, path: str | Path) -> None:
        """Raises BrokenVideoError where the file cannot be opened or holds no video."""
        self.path = Path(path)
        self.size = None
        self._times: Float64 | None = None
        self._unused: _Opened | None = self._open()  # for the first decoding
        container, stream, _ = self._unused
        rate = stream.average_rate or stream.guessed_rate
        self.rate = rate if rate else None
        self.expected_frames = _expected_frames(container, stream, self.rate)
        self._container_name = container.format.name

    def _open(self) -> _Opened:
        try:
            # Text that cannot be decoded is no reason to refuse the pictures.
            # An absolute path, because what stands before a colon would be taken for a protocol.
            with logged_errors() as errors:
                container = av.open(str(self.path.absolute()), metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise BrokenVideoError(f"not a readable video: {_reason(error)}") from error
        streams = container.streams.video
        if not streams or streams[0].codec_context is None:
            container.close()
            what = "of a codec that is known" if streams else ""
            raise BrokenVideoError(f"it holds no video stream {what}".rstrip())
        # Opening reads much of a file ahead. What decoders log meanwhile they log again in their place.
        decoders = {s.codec_context.name for s in container.streams if s.codec_context}
        return container, streams[0], _first(errors, decoders)

    @property
    def complete(self) -> str:
        """`"yes"` where the file announces its end and holds it; `"unknown"` where nothing tells.

        Streaming formats announce nothing: what is missing at their end leaves no trace. A file that is
        known to be damaged raises BrokenVideoError when it is decoded.
        """
        intact = self._structure.announced and not self._structure.damage
        return "yes" if intact else "unknown"

    @cached_property
    def _structure(self) -> Structure:
        return containers.inspect(self.path, self._container_name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again. A decoding that is under way goes on."""
        if self._unused:
            self._unused[0].close()
            self._unused = None

    def __repr__(self) -> str:
        return f"Video({str(self.path)!r})"

    def __len__(self) -> int:
        """How many frames decode. Raises BrokenVideoError where not all do."""
        return len(self.times)

    @property
    def times(self) -> Float64:
        """Time stamps of all frames, (T,), seconds. Raises BrokenVideoError where not all decode."""
        if self._times is None:
            stamps = np.array([_stamp(frame) for frame in self.decoded()])
            self._times, _ = display_times(stamps, self.rate)
        return self._times

    def __iter__(self) -> Iterator[UInt8]:
        """Each frame, uint8 (H, W, 3), RGB."""
        for frame in self.decoded():
            yield upright(frame, AS_IT_IS)

    @overload
    def __getitem__(self, key: SupportsIndex) -> UInt8: ...

    @overload
    def __getitem__(self, key: slice | Iterable[SupportsIndex]) -> Frames: ...

    def __getitem__(self, key: indexing.Key) -> UInt8 | Frames:
        """`video[3]` is a frame, uint8 (H, W, 3); `video[10:20]` are Frames with their time stamps.

        Raises IndexError for a frame that does not exist, BrokenVideoError where not all decode.
        """
        wanted = np.array(indexing.numbers(key, len(self), "frame"), np.int64)
        width, height = self.size or (0, 0)
        rgb = np.empty((len(wanted), height, width, 3), np.uint8)
        for number, frame in enumerate(islice(self.decoded(), max(wanted, default=-1) + 1)):
            places = wanted == number
            if places.any():
                rgb[places] = upright(frame, AS_IT_IS)
        return rgb[0] if indexing.is_single(key) else Frames(rgb, self.times[wanted])

    def frames(self, resize: Resize, batch_pixels: int = 1 << 20) -> Iterator[Frames]:
        """All frames, in batches of about `batch_pixels`, so that memory has a bound of its own.

        Raises BrokenVideoError, naming the frame and the time, where decoding fails, a frame is
        damaged or of another size, or the file ends early; every frame before that has been yielded.
        """
        rgb: list[UInt8] = []
        times: list[float] = []
        broken: BrokenVideoError | None = None
        try:
            for frame in self.decoded():
                rgb.append(upright(frame, resize))
                times.append(_stamp(frame))
                if len(rgb) * rgb[0][..., 0].size >= batch_pixels:
                    yield Frames(np.stack(rgb), np.array(times))
                    rgb, times = [], []
        except BrokenVideoError as error:
            broken = error
        if rgb:
            yield Frames(np.stack(rgb), np.array(times))
        if broken:
            raise broken

    def decoded(self) -> Iterator[av.VideoFrame]:
        """Each picture as FFmpeg gives it, in display order; see `upright`. Raises as `frames` does."""
        # Each decoding has the file open for itself: several may go on side by side.
        opened = self._unused or self._open()
        self._unused = None
        decoder = StrictDecoder(opened[1])
        count, last = 0, 0.0

        def broken(why: str) -> BrokenVideoError:
            return BrokenVideoError(f"{why} at frame {count} ({last:.2f} s)")

        try:
            for packet in self._packets(*opened):
                for frame in decoder.decode(packet):
                    last = frame.time if frame.time is not None else last
                    size = _swap(frame.width, frame.height, _turns(frame))
                    if self.size not in (None, size):
                        change = "{}x{} to {}x{}".format(*(self.size or size), *size)
                        raise broken(f"the picture changes from {change}")
                    self.size = size
                    yield frame
                    count += 1
        except DamagedDataError as error:
            raise broken(str(error)) from error
        except (av.FFmpegError, OSError) as error:
            raise broken(f"decoding fails ({_reason(error)})") from error
        finally:
            opened[0].close()
        if count == 0:
            raise BrokenVideoError("it holds no frame")

    def _packets(
        self, container: av.container.InputContainer, stream: av.VideoStream, logged: str
    ) -> Iterator[_Packet]:
        """The packets of the pictures, an empty one at the end; raises DamagedDataError at damage."""
        structure, count = self._structure, 0
        # Damaged sound is no damage here.
        others = {s.codec_context.name for s in container.streams if s.codec_context}
        others.discard(stream.codec_context.name)
        packets = container.demux(stream)
        while True:
            with logged_errors() as errors:
                packet = next(packets, None)
            if packet is None:
                return
            # At the end the decoder gives away what it still holds back, which may lie behind a gap.
            # So whether all is there has to be known before.
            at_end = packet.size == 0
            if structure.damage and (at_end or (packet.pos or 0) >= structure.position):
                raise DamagedDataError(f"{structure.damage},")
            if at_end and count < (indexed := len(stream.index_entries)):
                raise DamagedDataError(
                    f"the file ends early, with {count} of the {indexed} packets in its index,"
                )
            if message := _first(errors, others) or (at_end and logged):
                raise DamagedDataError(f"the file is damaged ({message})")
            yield packet
            count += 1


def display_times(stamps: Float64, rate: Fraction | None) -> tuple[Float64, str]:
    """Time stamps that rise, and where they come from: `"container"` or `"frame rate"`.

    Some containers stamp reordered frames as if they were stored in display order, so that their
    times run back and forth, or stamp none. The frames are in order all the same; then the times are
    counted at the stated rate from the first stamp.
    """
    if np.all(np.isfinite(stamps)) and np.all(np.diff(stamps) > 0):
        return stamps, "container"
    start = stamps[0] if np.isfinite(stamps[0]) else 0.0
    return start + np.arange(len(stamps)) / float(rate or 25), "frame rate"


def _stamp(frame: av.VideoFrame) -> float:
    """A frame's time in seconds, NaN where it has none."""
    return float("nan") if frame.time is None else frame.time


def _first(errors: list[tuple[str, str]], ignored: Container[str]) -> str:
    """The first message of anyone who is not ignored, empty where there is none."""
    return next((message for who, message in errors if who not in ignored), "")


def _expected_frames(
    container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction | None
) -> int:
    if stream.frames:
        return int(stream.frames)
    if container.duration and rate:
        return int(container.duration / av.time_base * rate)
    return 0


def upright(frame: av.VideoFrame, resize: Resize) -> UInt8:
    """A picture as it is shown and stored, uint8 (H, W, 3), RGB."""
    turns = _turns(frame)
    shown = resize.of(*_swap(frame.width, frame.height, turns))
    width, height = _swap(*shown, turns)
    rgb: UInt8 = frame.to_ndarray(  # type: ignore[assignment]
        format="rgb24", width=width, height=height, interpolation="BICUBIC", threads=1
    )
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def _turns(frame: av.VideoFrame) -> int:
    """How many quarter turns, counter-clockwise as FFmpeg's angle and `rot90` are, set it upright."""
    return round(frame.rotation / 90) % 4  # phones only ever turn by quarters


def _swap(width: int, height: int, turns: int) -> tuple[int, int]:
    return (height, width) if turns % 2 else (width, height)


def _reason(error: Exception) -> str:
    """What FFmpeg says, without its number and the path that the caller adds anyway."""
    return (getattr(error, "strerror", None) or str(error)).lower()
