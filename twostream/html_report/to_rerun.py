"""The chosen videos of a report for Rerun: frames, flow in colours and score curves on one time line.

Of each video there are the entities `<id>/frames`, `<id>/flow`, `<id>/scores/<run or fused>` with a
series for each class, and `<id>/answers`, what is said of the whole. The time line is "video", seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from flowcache.atomic import atomic_path
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.show.colour import flow_to_color
from flowcache.show.render import survey
from flowcache.types import UInt8
from twostream.html_report.content import ReportContent
from twostream.html_report.score_curves import score_curves
from twostream.prediction.networks import Network

TIME_LINE = "video"
_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 90)


def write_rrd(
    path: Path,
    content: ReportContent,
    cache: FlowCache,
    ids: Sequence[str],
    networks: Mapping[str, Network],
    on_video: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Write a recording of these videos of a cache; it is whole or not there.

    networks: of the runs, see `score_curves.networks_of`; without them there are no curves. on_video: is
    given how many videos are done, and of how many.

    Raises UserError where rerun-sdk is not installed, and for a path that is a folder.
    """
    rerun = require_rerun()
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file to write to, as report.rrd", "output")
    said = {video.id: video for group in content.chosen for video in group.videos}
    with atomic_path(path) as temporary, rerun.RecordingStream("twostream") as recording:
        recording.save(str(temporary))
        for number, identifier in enumerate(ids, 1):
            video = said[identifier]
            text = f"true: {video.label}; {video.sentence}"
            recording.log(_entity(identifier, "answers"), rerun.TextDocument(text), static=True)
            _log_pictures(recording, cache, identifier)
            if networks:
                _log_curves(recording, content, cache, identifier, networks)
            on_video(number, len(ids))
        recording.flush()
        recording.disconnect()


def require_rerun() -> Any:
    """The library. UserError where it is not installed."""
    try:
        import rerun
    except ModuleNotFoundError:
        raise UserError(
            "the form rerun needs a package that is not installed: pip install 'twostream[rerun]'",
            "to",
        ) from None
    return rerun


def _log_pictures(recording: Any, cache: FlowCache, identifier: str) -> None:
    """Frames and flow, each at its own time."""
    with cache[identifier] as entry:
        scale, _ = survey(entry)
        for number, time in enumerate(entry.times):
            recording.set_time(TIME_LINE, duration=float(time))
            recording.log(_entity(identifier, "frames"), _jpeg(entry.rgb[number]))
            if number < len(entry.flow):
                picture = flow_to_color(entry.flow[number], scale)
                recording.log(_entity(identifier, "flow"), _jpeg(picture))


def _log_curves(
    recording: Any,
    content: ReportContent,
    cache: FlowCache,
    identifier: str,
    networks: Mapping[str, Network],
) -> None:
    import rerun

    fusion = content.fusion.rule if content.fusion else None
    for curve in score_curves(networks, fusion, cache, identifier):
        entity = _entity(identifier, "scores", curve.by)
        recording.log(entity, rerun.SeriesLines(names=list(curve.classes)), static=True)
        for time, probabilities in zip(curve.times, curve.probabilities, strict=True):
            recording.set_time(TIME_LINE, duration=float(time))
            recording.log(entity, rerun.Scalars(probabilities))


def _jpeg(picture: UInt8) -> Any:
    import rerun

    encoded = cv2.imencode(".jpg", picture[..., ::-1], _QUALITY)[1]
    return rerun.EncodedImage(contents=encoded.tobytes(), media_type="image/jpeg")


def _entity(identifier: str, *parts: str) -> str:
    """The path of an entity, with what is special in a name escaped."""
    import rerun

    entity: str = rerun.new_entity_path([*identifier.split("/"), *parts])
    return entity
