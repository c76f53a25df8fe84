"""What `twostream predict` answers for a video: its best classes, explained or not, or a timeline."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from flowcache.errors import printable
from twostream.explanation.of_videos import predict_and_explain
from twostream.prediction.predict import Prediction, Predictor
from twostream.timeline.options import TimelineOptions
from twostream.timeline.predict import Timeline, predict_timeline


class Answers(NamedTuple):
    """One of three kinds of answers for videos.

    of_video: makes one; it is given the `video`, and `on_share`, which is told how much is done.
    table: shows one.
    header: of the columns of its `rows()`.
    """

    of_video: Callable[..., Any]
    table: Callable[[Any], Table]
    header: Sequence[str]


def best_classes(predictor: Predictor, **how: Any) -> Answers:
    """The best classes of whole videos. how: of `Predictor.__call__`."""
    return Answers(partial(predictor, **how), _of_classes, Prediction.HEADER)


def explained(
    predictor: Predictor, outputs: Mapping[Path, Path], method: str, **how: Any
) -> Answers:
    """The same, and what spoke for them is written; see `explanation.of_videos`."""
    of_video = partial(predict_and_explain, predictor, outputs=outputs, method=method, **how)
    return Answers(of_video, _of_classes, Prediction.HEADER)


def timelines(predictor: Predictor, options: TimelineOptions, **how: Any) -> Answers:
    """What is done when. how: of `predict_timeline`."""
    of_video = partial(predict_timeline, predictor, options=options, **how)
    return Answers(of_video, _of_segments, Timeline.HEADER)


def _of_classes(prediction: Prediction) -> Table:
    """A column for each run and for the fusion, the best class first."""
    table = Table(title=printable(prediction.video), title_justify="left")
    for name in prediction.best:
        table.add_column(name)
    columns = ([f"{100 * p:5.1f} %  {c}" for c, p in best] for best in prediction.best.values())
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def _of_segments(timeline: Timeline) -> Table:
    """The segments of the fusion, or of the only run."""
    *_, (name, segments) = timeline.segments.items()
    table = Table(title=f"{printable(timeline.video)}, {name}", title_justify="left")
    for column in ("start", "end", "class", "confidence"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for each in segments:
        times = (f"{seconds:.2f} s" for seconds in (each.start, each.end))
        table.add_row(*times, each.label, f"{100 * each.confidence:.1f} %")
    return table
