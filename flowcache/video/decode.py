"""Decode a video: frames in display order, upright, resized, with time stamps, as a stream."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np

from flowcache.errors import UserError
from flowcache.types import Float64, Frames, UInt8
from flowcache.video.truncation import missing_bytes

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


class BrokenVideoError(UserError):
    """A video that cannot be decoded to its end; the message says where it broke and why."""


@dataclass(frozen=True)
class Resize:
    """The size at which frames are stored.

    short_side: the shorter side in pixels, the other in proportion; a smaller video stays as it is.
    exact: (width, height), whatever the proportions; takes precedence.
    """

    short_side: int = 256
    exact: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`"256"` (a short side) or `"340x256"` (width and height)."""
        if match := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text):
            return cls(exact=(int(match[1]), int(match[2])))
        if re.fullmatch(r"[1-9]\d*", text):
            return cls(short_side=int(text))
        raise UserError(f"{text!r} is no size: write a short side (256) or WxH (340x256)")

    def __str__(self) -> str:
        return "{}x{}".format(*self.exact) if self.exact else str(self.short_side)

    def of(self, width: int, height: int) -> tuple[int, int]:
        """The stored (width, height) of an upright video of this width and height."""
        if self.exact:
            return self.exact
        scale = min(1.0, self.short_side / min(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))


class Video:
    """One video file, opened for reading from its start to its end.

    size: (width, height) as shown, that is with the rotation applied; known from the first frame on.
    rate: frames per second as the container states it, or None.
    expected_frames: what the container leads one to expect; containers lie, so for progress only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Text that cannot be decoded is no reason to refuse the pictures.
            # An absolute path, because what stands before a colon would be taken for a protocol.
            self._container = av.open(str(path.absolute()), metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise BrokenVideoError(f"not a readable video: {_reason(error)}") from error
        streams = self._container.streams.video
        if not streams or streams[0].codec_context is None:
            self._container.close()
            what = "of a codec that is known" if streams else ""
            raise BrokenVideoError(f"it holds no video stream {what}".rstrip())
        self._stream = streams[0]
        codec = self._stream.codec_context
        codec.thread_count = 1  # videos are decoded side by side, one process each
        # Otherwise a decoder paints over what it could not read and reports nothing.
        codec.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
        self.size: tuple[int, int] | None = None
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate: Fraction | None = rate if rate else None
        self.expected_frames = _expected_frames(self._container, self._stream, self.rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self, resize: Resize, batch_pixels: int = 1 << 20) -> Iterator[Frames]:
        """All frames, in batches of about `batch_pixels`, so that memory has a bound of its own.

        Raises BrokenVideoError, naming the frame and the time, where decoding fails, a frame is
        damaged or of another size, or the file ends early; every frame before that has been yielded.
        """
        rgb: list[UInt8] = []
        times: list[float] = []
        broken: BrokenVideoError | None = None
        try:
            for frame in self._decoded():
                rgb.append(self._upright(frame, resize))
                times.append(float("nan") if frame.time is None else frame.time)
                if len(rgb) * rgb[0][..., 0].size >= batch_pixels:
                    yield Frames(np.stack(rgb), np.array(times))
                    rgb, times = [], []
        except BrokenVideoError as error:
            broken = error
        if rgb:
            yield Frames(np.stack(rgb), np.array(times))
        if broken:
            raise broken

    def _decoded(self) -> Iterator[av.VideoFrame]:
        count, packets, last = 0, 0, 0.0

        def broken(why: str) -> BrokenVideoError:
            return BrokenVideoError(f"{why} at frame {count} ({last:.2f} s)")

        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    packets += 1
                else:
                    # The end. What the decoder still holds back may lie behind a gap, so whether
                    # all is there has to be known before it gives that away.
                    self._check_whole(packets, broken)
                if packet.is_corrupt:
                    raise broken("the data is damaged")
                for frame in packet.decode():
                    last = frame.time if frame.time is not None else last
                    if frame.is_corrupt:
                        raise broken("a damaged frame")
                    yield frame
                    count += 1
        except (av.FFmpegError, OSError) as error:
            raise broken(f"decoding fails ({_reason(error)})") from error
        if count == 0:
            raise BrokenVideoError("it holds no frame")

    def _check_whole(self, packets: int, broken: Callable[[str], BrokenVideoError]) -> None:
        if missing := missing_bytes(self.path):
            raise broken(f"the file ends early, {missing} bytes short of what it announces,")
        if packets < (indexed := len(self._stream.index_entries)):
            raise broken(
                f"the file ends early, with {packets} of the {indexed} packets in its index,"
            )

    def _upright(self, frame: av.VideoFrame, resize: Resize) -> UInt8:
        # FFmpeg's angle is counter-clockwise, as rot90's is; phones only ever turn by quarters.
        turns = round(frame.rotation / 90) % 4
        sideways = turns % 2 == 1
        size = _swap(frame.width, frame.height, sideways)
        if self.size not in (None, size):
            raise BrokenVideoError(
                "the picture changes from {}x{} to {}x{}".format(*(self.size or size), *size)
            )
        self.size = size
        width, height = _swap(*resize.of(*size), sideways)
        rgb: UInt8 = frame.to_ndarray(  # type: ignore[assignment]
            format="rgb24", width=width, height=height, interpolation="BICUBIC", threads=1
        )
        return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


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


def _expected_frames(
    container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction | None
) -> int:
    if stream.frames:
        return int(stream.frames)
    if container.duration and rate:
        return int(container.duration / av.time_base * rate)
    return 0


def _swap(width: int, height: int, sideways: bool) -> tuple[int, int]:
    return (height, width) if sideways else (width, height)


def _reason(error: Exception) -> str:
    """What FFmpeg says, without its number and the path that the caller adds anyway."""
    return (getattr(error, "strerror", None) or str(error)).lower()
