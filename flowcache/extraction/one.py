"""One video → one cache entry."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from flowcache.cache.info import EntryInfo, Source
from flowcache.cache.recipe import Recipe
from flowcache.cache.writer import write_entry
from flowcache.errors import UserError
from flowcache.types import FlowAlgorithm, Frames, UInt8
from flowcache.video.decode import BrokenVideoError, Video
from flowcache.workers.device_client import flow_here, flow_on_device
from flowcache.workers.isolation import Report, run_for_file
from flowcache.workers.protocol import Address

Decoder = Callable[[Path], AbstractContextManager[Video]]


class TooShortError(UserError):
    """A video without a single pair of frames; it holds no motion."""

    @classmethod
    def of(cls, frames: int, step: int, partial: str = "") -> Self:
        """The error for a video of so few frames, of which `partial` says why there are not more."""
        return cls(
            f"too short: it has {frames} {'frame' if frames == 1 else 'frames'}, and flow needs "
            f"{step + 1}" + (f" ({partial})" if partial else "")
        )


@dataclass(frozen=True)
class Job:
    """One video to do."""

    video: Path
    name: str
    """Its path under the folder of videos."""

    entry: Path
    """Where its entry will lie."""

    def made(self, info: EntryInfo) -> bool:
        """Whether an entry that says this of itself was made from what there is now, to the byte."""
        return info.source.is_still(self.video)


def extract_video(
    job: Job,
    recipe: Recipe,
    algorithm: FlowAlgorithm | None = None,
    keep_partial: bool = False,
    decode: Decoder = Video,
    address: Address | None = None,
    report: Report = lambda _: None,  # the last, as a child gives it
) -> EntryInfo:
    """Decode one video, compute its flow and write its entry.

    algorithm: that of the recipe, where it is a user's own.
    address: of a device's process, see `workers.device_server`; without one the flow is computed here.
    report: is given (fields done, fields expected) after each batch.

    Raises BrokenVideoError (unless `keep_partial`) and TooShortError; then there is no entry.
    """
    step = recipe.frame_step
    how = step, recipe.quantizer, recipe.backward
    source = Source.of(job.video, job.name)
    partial = ""

    def decoded() -> Iterator[Frames]:
        """All frames; they are compressed while a device computes on them."""
        nonlocal partial
        try:
            for frames in video.frames(recipe.resize):
                yield frames
                writer.add_frames(frames)
        except BrokenVideoError as error:
            if not keep_partial:
                raise
            partial = str(error)

    with (
        one_opencv_thread(),
        decode(job.video) as video,
        write_entry(job.entry, recipe) as writer,
    ):
        windows = gray_windows(decoded(), step)
        if address:
            flow = flow_on_device(windows, address, *how)
        else:
            flow = flow_here(windows, algorithm or recipe.create_algorithm(), *how)
        for codes, saturated in flow:
            writer.add_codes(codes, saturated)
            report((writer.fields, max(writer.fields, video.expected_frames - step)))
        if writer.fields == 0 or video.size is None:
            raise TooShortError.of(writer.frames, step, partial)
        return writer.finish(source, video.size, video.rate, partial, video.complete)


def gray_windows(batches: Iterable[Frames], step: int) -> Iterator[UInt8]:
    """Gray frames, uint8 (T, H, W) with T > step, so that each frame t has its t + step in one window.

    A window begins with the last `step` frames of the one before it.
    """
    window: UInt8 = np.empty((0, 0, 0), np.uint8)
    for frames in batches:
        gray = np.array([cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in frames], np.uint8)
        window = np.concatenate([window[-step:], gray]) if window.size else gray
        if len(window) > step:
            yield window


def extract_isolated(
    job: Job,
    recipe: Recipe,
    algorithm: FlowAlgorithm | None = None,
    on_report: Report | None = None,
) -> EntryInfo:
    """`extract_video` in a child. Raises UserError, which names the video, where there is no entry."""
    defaults = (False, Video, None)
    info: EntryInfo = run_for_file(
        job.video, extract_video, job, recipe, algorithm, *defaults, on_report=on_report
    )
    return info


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Videos run side by side; and OpenCV's DIS depends, in its last digits, on the thread count."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
