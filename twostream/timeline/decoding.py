"""A video as it goes on, in frames with their flow, decoded in a child process that may die."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowcache.cache.recipe import Recipe
from flowcache.extraction.one import gray_windows, one_opencv_thread
from flowcache.types import Codes, Frames, UInt8
from flowcache.video.decode import Video
from flowcache.workers.device_client import flow_here
from flowcache.workers.isolation import Report, run_for_file

DEFAULT_RATE = 25.0
"""Frames per second of a video that does not state it."""


@dataclass(frozen=True)
class Opened:
    """What is known of a video before its first frame.

    rate: frames per second, as its container states them. expected_frames: for progress only, 0 where
    nothing is known.
    """

    rate: float
    expected_frames: int


@dataclass(frozen=True, eq=False)
class Part:
    """The next frames of a video, and the fields that end at them.

    frames: uint8 (T, H, W, 3) of the recipe's size; their times are the container's and need not rise.
    codes: (N, C, H, W), as a cache has them, of the last N frames: all but the first of a video end a
    field. Empty where no flow is wanted.
    """

    frames: Frames
    codes: Codes

    def __iter__(self) -> Iterator[tuple[UInt8, float, Codes | None]]:
        """Each frame, its time in seconds, and its field."""
        first = len(self.frames) - len(self.codes)
        for number, (rgb, time) in enumerate(zip(self.frames, self.frames.times, strict=True)):
            yield rgb, float(time), self.codes[number - first] if number >= first else None


def decode_isolated(
    video: Path,
    recipe: Recipe,
    *,
    with_flow: bool,
    on_opened: Callable[[Opened], None],
    on_part: Callable[[Part], None],
) -> None:
    """Decode a video from its start to its end; the child goes on while a part is at work here.

    It goes on by no more than what a socket holds, so memory does not grow with the video.

    Raises UserError, which names the video, where it cannot be decoded (to its end): every part before
    that has been given to `on_part`.
    """

    def hand_on(told: Opened | Part) -> None:
        if isinstance(told, Opened):
            on_opened(told)
        else:
            on_part(told)

    run_for_file(video, _decode, video, recipe, with_flow, on_report=hand_on)


def _decode(path: Path, recipe: Recipe, with_flow: bool, report: Report) -> None:
    with one_opencv_thread(), Video(path) as video:
        report(Opened(float(video.rate or DEFAULT_RATE), video.expected_frames))
        batches = video.frames(recipe.resize)
        for part in _with_flow(batches, recipe) if with_flow else _alone(batches):
            report(part)


def _alone(batches: Iterable[Frames]) -> Iterator[Part]:
    for frames in batches:
        yield Part(frames, np.empty((0, 2, *frames.rgb.shape[1:3]), np.int8))


def _with_flow(batches: Iterable[Frames], recipe: Recipe) -> Iterator[Part]:
    step, waiting = recipe.frame_step, list[Frames]()

    def passing() -> Iterator[Frames]:
        for frames in batches:
            waiting.append(frames)
            yield frames

    windows = gray_windows(passing(), step)
    how = recipe.create_algorithm(), step, recipe.quantizer, recipe.backward
    for codes, _ in flow_here(windows, *how):
        yield Part(_joined(waiting), codes)
        waiting.clear()
    if waiting:  # too few for a field
        yield from _alone([_joined(waiting)])


def _joined(batches: list[Frames]) -> Frames:
    if len(batches) == 1:
        return batches[0]
    return Frames(
        np.concatenate([each.rgb for each in batches]),
        np.concatenate([each.times for each in batches]),
    )


class RisingTimes:
    """Time stamps as they come → times that rise, since a video is not read twice for them.

    From the first stamp on that does not rise, or is none, the times are counted at the stated rate, as
    `video.decode.display_times` counts them for a whole video.
    """

    def __init__(self, rate: float) -> None:
        self._rate, self._count = rate, 0
        self._start, self._last = 0.0, -np.inf
        self._trusted = True

    def of(self, stamp: float) -> float:
        """The time of the next frame, seconds."""
        if self._count == 0 and np.isfinite(stamp):
            self._start = stamp
        self._trusted &= bool(np.isfinite(stamp) and stamp > self._last)
        counted = self._start + self._count / self._rate
        if not self._trusted and counted <= self._last:
            counted = self._last + 1 / self._rate
        self._last = stamp if self._trusted else counted
        self._count += 1
        return self._last
