"""Where pictures come from as time goes on: a camera, a stream over the network, or a file."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import av
import cv2
import numpy as np

from flowcache.errors import UserError, printable
from flowcache.video.decode import BrokenVideoError, Video

_PATIENCE = 10.0
"""Seconds for which a stream may send nothing."""

Picture = tuple[av.VideoFrame, float | None]
"""A picture, and its time in seconds where it has one."""


class Source(Protocol):
    """Pictures in the order in which they are shown."""

    @property
    def name(self) -> str:
        """As a user knows it."""
        ...

    @property
    def rate(self) -> float:
        """Frames a second as it is announced, 0 where it is not."""
        ...

    @property
    def is_recorded(self) -> bool:
        """Whether pictures can be had faster than they are due, as those of a file can."""
        ...

    @property
    def damaged(self) -> int:
        """How many packets could not be decoded and were passed over."""
        ...

    def __iter__(self) -> Iterator[Picture]:
        """All pictures. UserError where it breaks; those before it have been given."""
        ...


def open_source(source: str) -> Source:
    """A camera by its number, a stream by its URL, or a file.

    UserError where it cannot be opened.
    """
    if source.isdecimal():
        return Camera(int(source))
    if "://" in source:
        return NetworkStream(source)
    if not Path(source).is_file():
        raise UserError(
            f"{printable(source)} is no file: name a camera by its number, a file or a URL",
            "source",
        )
    return File(Path(source))


class File:
    """A video file; damage ends it, as it does in an extraction."""

    is_recorded = True
    damaged = 0

    def __init__(self, path: Path) -> None:
        """UserError where it cannot be opened."""
        self.name = printable(path)
        try:
            self._video = Video(path)
        except BrokenVideoError as error:
            raise UserError(f"{self.name}: {error}", "source") from None
        self.rate = float(self._video.rate or 0)

    def __iter__(self) -> Iterator[Picture]:
        try:
            for picture in self._video.decoded():
                yield picture, picture.time
        except BrokenVideoError as error:
            raise UserError(f"{self.name}: {error}") from None


class NetworkStream:
    """What FFmpeg reads from a URL, such as RTSP of a surveillance camera, HTTP, RTMP or UDP.

    Networks lose packets, so one that cannot be decoded is passed over and counted.
    """

    def __init__(self, url: str) -> None:
        """UserError where it cannot be opened, or sends nothing for ten seconds."""
        try:
            self.name = without_password(url)
        except ValueError:  # whose words may hold a password
            raise UserError(
                "the address is no URL that can be read: write it as rtsp://camera.local/stream, an "
                "IPv6 address in brackets",
                "source",
            ) from None
        self.damaged = 0
        try:
            self._container = av.open(url, metadata_errors="replace", timeout=_PATIENCE)
        except (av.FFmpegError, OSError) as error:
            raise UserError(
                f"{self.name} cannot be opened ({_reason(error)}): is the address right, and does "
                "it send?",
                "source",
            ) from None
        if not self._container.streams.video:
            self._container.close()
            raise UserError(f"{self.name} sends no video: name another address", "source")
        stream = self._container.streams.video[0]
        self.rate = float(stream.average_rate or stream.guessed_rate or 0)
        # What has a length lies there as a file, and comes as fast as the network can bring it.
        self.is_recorded = self._container.duration is not None

    def __iter__(self) -> Iterator[Picture]:
        stream = self._container.streams.video[0]
        pictures = 0
        try:
            for packet in self._container.demux(stream):
                try:
                    decoded = packet.decode()
                except av.InvalidDataError:
                    self.damaged += 1
                    continue
                for picture in decoded:
                    yield picture, picture.time
                    pictures += 1
        except (av.FFmpegError, OSError) as error:
            raise UserError(
                f"{self.name} broke off after {pictures} frames ({_reason(error)}): start again when "
                "it sends"
            ) from None
        finally:
            self._container.close()


class Camera:
    """A camera of this machine, by its number.

    OpenCV reads it, since it numbers cameras alike on Linux, macOS and Windows; FFmpeg wants another form
    of name on each, and its devices are not in every build of PyAV.
    """

    is_recorded = False
    damaged = 0

    def __init__(self, number: int) -> None:
        """UserError where there is none, or another program has it."""
        self.name = f"camera {number}"
        self._capture = cv2.VideoCapture(
            min(number, 2**31 - 1)
        )  # a larger one OpenCV does not take
        if not self._capture.isOpened():
            raise UserError(
                f"{self.name} cannot be opened: name the number of a camera that is there and that no "
                "other program uses",
                "source",
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # or a slow reader is given old pictures
        self.rate = float(self._capture.get(cv2.CAP_PROP_FPS) or 0)

    def __iter__(self) -> Iterator[Picture]:
        pictures = 0
        try:
            while True:
                came, bgr = self._capture.read()
                if not came:
                    raise UserError(
                        f"{self.name} gives no more pictures after {pictures}: is it still connected?"
                    )
                # Cameras of OpenCV's have no clock of their own that could be relied on.
                yield (
                    av.VideoFrame.from_ndarray(np.asarray(bgr, np.uint8), format="bgr24"),
                    time.perf_counter(),
                )
                pictures += 1
        finally:
            self._capture.release()


def without_password(url: str) -> str:
    """A URL as it may be printed: a name and a password in it are left out."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _reason(error: Exception) -> str:
    """What FFmpeg says, without its number, and without the address, which may hold a password."""
    if isinstance(error, av.ExitError):  # which says that it was asked to give up, and not why
        return f"nothing came for {_PATIENCE:g} seconds"
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
