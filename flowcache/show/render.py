"""Show a video or a cache entry: each frame beside its flow, as a picture or a video."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from flowcache import algorithms
from flowcache.cache.entry import SUFFIX, Entry
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.extraction.one import (
    Job,
    TooShortError,
    extract_isolated,
    gray_windows,
    one_opencv_thread,
)
from flowcache.show.colour import side_by_side
from flowcache.show.files import write_png, write_video
from flowcache.types import Float32, UInt8
from flowcache.video.decode import Video
from flowcache.video.resize import Resize
from flowcache.workers.device_client import flow_at_step
from flowcache.workers.isolation import Report, run_for_file

OnProgress = Callable[[int, int], None]

_SMALLEST_SCALE = 0.5
_SURVEYED = 64
_SURVEY_SIDE = 96  # pixels; enough to tell which frames move


def show(
    path: Path,
    output: Path,
    recipe: Recipe,
    frame: int | None = None,
    on_progress: OnProgress = lambda done, expected: None,
) -> None:
    """Draw a video or a cache entry: each frame beside its flow.

    path: a cache entry (.h5), or a video, whose flow is computed by `recipe` just as for a cache, in a
        child process that a broken video may take along.
    output: .mp4 shows all fields at the video's rate; .png shows field number `frame`, by default
        one that moves more than nine tenths of the others do (not the one that moves most: that is
        often a cut between two shots). For a video, a cheap flow of small frames tells which.
    on_progress: called with (fields done, fields expected) while a video's flow is computed.

    The scale is one for the whole output: 99 of 100 vectors are at most that long, in up to 64 evenly
    spaced fields, or in the field that is shown.

    Raises UserError for another kind of output, a file that is not there or cannot be read, and a
    frame that the video does not have.
    """
    kind = output.suffix.lower()
    if kind not in (".mp4", ".png"):
        raise UserError(f"{output} must end in .mp4 or .png", "output")
    if frame is not None and kind != ".png":
        raise UserError(f"a frame number is for a .png, and {output} shows all frames", "frame")
    if not path.is_file():
        raise UserError(f"there is no file {path}", "source")
    if output.exists() and output.samefile(path):
        raise UserError(
            f"{output} would overwrite the video: give another name to write to", "output"
        )
    if kind == ".png" and path.suffix.lower() != SUFFIX:
        _show_field_of_video(path, output, recipe, frame, on_progress)
        return
    with _opened(path, recipe, on_progress) as entry:
        scale, lively = survey(entry)
        if kind == ".png":
            number = lively if frame is None else _existing(frame, len(entry.flow), path)
            write_png(output, side_by_side(entry.rgb[number], entry.flow[number], scale))
        else:
            fields = range(len(entry.flow))
            pictures = (side_by_side(entry.rgb[i], entry.flow[i], scale) for i in fields)
            write_video(output, pictures, rate_of(entry))


def survey(entry: Entry) -> tuple[float, int]:
    """The scale in pixels, and the field that is shown where none is asked for."""
    fields = len(entry.flow)
    sample = np.unique(np.linspace(0, fields - 1, min(fields, _SURVEYED)).round().astype(int))
    lengths = [_lengths(entry.flow[number]) for number in sample.tolist()]
    return _scale(lengths), int(sample[_lively([length.mean() for length in lengths])])


def field_of_video(
    path: Path, recipe: Recipe, number: int | None, report: Report
) -> tuple[UInt8, Float32]:
    """One frame at the recipe's size, uint8 (H, W, 3), and its flow, float32 (2, H, W).

    Only this field is computed by the recipe. Where no number is given, a lively one is taken.
    Runs in a child process; `report` is given (frames done, frames expected).
    """
    step = recipe.frame_step
    with one_opencv_thread(), Video(path) as video:
        motion = _motion(video, step, report) if number is None else []
        fields = len(motion) if number is None else len(video) - step
        if fields < 1:
            raise TooShortError.of(len(video), step)
        number = _lively(motion) if number is None else _existing(number, fields)
        wanted = islice(chain.from_iterable(video.frames(recipe.resize)), number, None, step)
        pair = np.stack(list(islice(wanted, 2)))
        gray = np.stack([cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in pair])
        return pair[0], recipe.create_algorithm()(gray)[0]


def _show_field_of_video(
    path: Path, output: Path, recipe: Recipe, frame: int | None, on_progress: OnProgress
) -> None:
    rgb, flow = run_for_file(
        path, field_of_video, path, recipe, frame, on_report=lambda progress: on_progress(*progress)
    )
    write_png(output, side_by_side(rgb, flow, _scale([_lengths(flow)])))


def _motion(video: Video, step: int, report: Report) -> list[float]:
    """The mean length of each field's vectors, by a cheap flow of small frames."""
    cheap = algorithms.create("farneback", levels=2, iterations=2)
    means: list[float] = []
    for gray in gray_windows(video.frames(Resize(short_side=_SURVEY_SIDE)), step):
        flow = flow_at_step(cheap, gray, step).data
        means += np.hypot(flow[:, 0], flow[:, 1]).mean((1, 2)).tolist()
        report((len(means), max(len(means), video.expected_frames - step)))
    return means


@contextmanager
def _opened(path: Path, recipe: Recipe, on_progress: OnProgress) -> Iterator[Entry]:
    """The entry itself, or a temporary one of a video."""
    with tempfile.TemporaryDirectory() as folder:
        entry = path
        if path.suffix.lower() != SUFFIX:
            entry = Path(folder) / f"video{SUFFIX}"
            job = Job(path, path.name, entry)
            extract_isolated(job, recipe, on_report=lambda progress: on_progress(*progress))
        with Entry(entry) as opened:
            yield opened


def _lively(means: Sequence[float]) -> int:
    return int(np.argsort(means)[int(0.9 * (len(means) - 1))])


def _lengths(field: Float32) -> Float32:
    """The lengths of a field's vectors; every second pixel each way settles a percentile as well."""
    lengths: Float32 = np.hypot(*field[:, ::2, ::2])
    return lengths


def _scale(lengths: Sequence[Float32]) -> float:
    # To two digits, so that the legend tells the scale as it is.
    scale = float(f"{np.percentile(np.stack(lengths), 99):.2g}")
    return max(_SMALLEST_SCALE, scale)


def _existing(number: int, fields: int, path: Path | str = "it") -> int:
    if not 0 <= number < fields:
        raise UserError(
            f"{path} has flow at the frames 0 to {fields - 1}, and none at {number}", "frame"
        )
    return number


def rate_of(entry: Entry) -> float:
    """Frames per second: as the container states it, else from the time stamps."""
    times = entry.times
    return entry.info.frame_rate or (len(times) - 1) / float(times[-1] - times[0])
