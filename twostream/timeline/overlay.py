"""A timeline as a video: the frames, their flow in colour, the labels, and the segments below."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from flowcache.atomic import require_writable
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError, printable
from flowcache.extraction.one import one_opencv_thread
from flowcache.show.files import write_video
from flowcache.types import Float32, UInt8
from flowcache.video.decode import BrokenVideoError, Video, upright
from flowcache.video.resize import Resize
from flowcache.workers.device_client import flow_at_step
from flowcache.workers.isolation import Report, run_for_file
from twostream.prediction.predict import OnShare, Predictor
from twostream.timeline.decoding import DEFAULT_RATE, RisingTimes
from twostream.timeline.drawing import Drawing, Moment
from twostream.timeline.predict import Timeline

_LARGEST = Resize(short_side=720)


def require_overlay(output: Path, video: Path) -> None:
    """UserError unless an overlay of this video can be written to this path."""
    if output.suffix.lower() not in (".mp4", ".avi"):
        raise UserError(f"{printable(output)} must end in .mp4 or .avi", "overlay")
    if output.exists() and video.exists() and output.samefile(video):
        raise UserError(
            f"{output} would overwrite the video: give another name to write to", "overlay"
        )
    require_writable(output, "overlay")


def write_overlay(
    timeline: Timeline,
    output: Path,
    predictor: Predictor,
    on_share: OnShare = lambda _: None,
) -> None:
    """Write the timeline's video with what is said of it, as .mp4 or .avi, without its sound.

    A large video is made smaller, to a short side of 720 pixels. The flow is that of the first run that
    reads flow, and computed once more; where none does, none is shown. Memory does not grow with the
    video.

    on_share: is told how much of the video is done, 0 to 1.

    Raises UserError for another kind of output, and for a video that can no longer be decoded as it was
    for the timeline.
    """
    video = Path(timeline.video)
    require_overlay(output, video)
    read = [
        recipe
        for network, recipe in zip(predictor.networks, predictor.recipes, strict=True)
        if network.spec.values.is_displacement
    ]
    recipe = read[0] if read else None
    run_for_file(video, _write, timeline, output.absolute(), recipe, on_report=on_share)


def _write(timeline: Timeline, output: Path, recipe: Recipe | None, report: Report) -> None:
    """In a child process, which a broken video may take along."""
    with one_opencv_thread(), Video(timeline.video) as video:
        rate = float(video.rate or DEFAULT_RATE)
        write_video(output, _pictures(video, rate, timeline, recipe, report), rate)


def _pictures(
    video: Video, rate: float, timeline: Timeline, recipe: Recipe | None, report: OnShare
) -> Iterator[UInt8]:
    draw, edges = Drawing(timeline.classes), timeline.edges
    *_, segments = timeline.segments.values()
    times, flow_to = RisingTimes(rate), _flow_to(recipe)
    # A timeline that breaks off has its reason already, and so far the pictures are good.
    with suppress(*([BrokenVideoError] if timeline.partial else [])):
        for number, picture in enumerate(video.decoded()):
            time = times.of(float("nan") if picture.time is None else picture.time)
            part = int(np.clip(np.searchsorted(edges, time, "right") - 1, 0, len(edges) - 2))
            moment = Moment(
                time=time,
                probabilities={name: values[part] for name, values in timeline.scores.items()},
                segments=segments,
                span=(float(edges[0]), float(edges[-1])),
            )
            flow = flow_to(upright(picture, recipe.resize)) if recipe else None
            yield draw(upright(picture, _LARGEST), flow, moment)
            report(min(1.0, (number + 1) / max(1, video.expected_frames)))


def _flow_to(recipe: Recipe | None) -> Callable[[UInt8], Float32 | None]:
    """What gives the flow, (2, H, W), that ends at each of a video's frames; the first have none."""
    if recipe is None:
        return lambda _: None
    algorithm, held = recipe.create_algorithm(), list[UInt8]()

    def flow(rgb: UInt8) -> Float32 | None:
        held.append(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)))
        if len(held) <= recipe.frame_step:
            return None
        return flow_at_step(algorithm, np.stack([held.pop(0), held[-1]]), 1)[0]

    return flow
