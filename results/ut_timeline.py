"""UT-Interaction's clips put end to end: the interactions of each sequence, found in one long video."""

import argparse
import tempfile
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import ut_interaction
from experiment import WIDTH, commit, machine, table, write_section
from experiment import main as run_experiment

from flowcache.types import UInt8
from flowcache.video.decode import Video
from flowcache.video.resize import Resize
from twostream.prediction.predict import Predictor
from twostream.protocol.plan import RECORD, Protocol, recorded
from twostream.scoring.detection import Segment, Segments, mean_average_precision
from twostream.scoring.intervals import Interval
from twostream.timeline.predict import Timeline, predict_timeline

NAME = "ut_timeline"
ABOUT = (
    "The six clips of each sequence, in the order of their numbers, are put end to end, and `predict "
    "--timeline` says what is done when. The networks were trained without that sequence: their runs are "
    "those of the section on UT-Interaction. Hop, window and shortest segment are the defaults, which "
    "follow from the length of a clip alone (28 frames): no test was looked at to choose them."
)
STREAMS = ("spatial", "temporal")
RULES = ("softmax", "log_linear")
OVERLAPS = (0.3, 0.5, 0.7)
RESAMPLES = 1000


def main(words: Sequence[str] | None = None) -> None:
    """Predict the long video of each fold, and print the section."""
    parser = argparse.ArgumentParser(description=ABOUT)
    parser.add_argument("videos", type=Path, help="folder of the videos, one folder a class")
    parser.add_argument("work", type=Path, help="folder for caches and runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--into", type=Path, help="write the section into this page")
    parser.add_argument("--miniature", action="store_true", help="a trial with a tiny network")
    given = parser.parse_args(words)
    runs = given.work / "runs-cache"
    if not (runs / RECORD).exists():
        small = ["--miniature"] if given.miniature else []
        seeds = ["--seeds", *map(str, given.seeds)]
        run_experiment(
            ut_interaction.EXPERIMENT, [str(given.videos), str(given.work), *seeds, *small]
        )
    protocol = recorded(runs)
    true: dict[str, list[Segment]] = {}
    timelines: dict[str, Timeline] = {}
    for seed in given.seeds:
        for fold in protocol.folds:
            key = f"{fold.name}, seed {seed}"
            timelines[key], true[key] = predicted(protocol, fold.name, seed, given.videos)
            print(key, {name: len(found) for name, found in timelines[key].segments.items()})
    section = section_of(timelines, true, given.seeds)
    print(section)
    if given.into:
        write_section(given.into, NAME, section)


def predicted(
    protocol: Protocol, fold: str, seed: int, videos: Path
) -> tuple[Timeline, list[Segment]]:
    """The timeline of a fold's test videos put end to end, and what they show when."""
    (test,) = (one.test for one in protocol.folds if one.name == fold)
    predictor = Predictor([protocol.training(fold, seed, name).folder for name in STREAMS])
    with tempfile.TemporaryDirectory(prefix="twostream-") as folder:
        path = Path(folder) / "sequence.mkv"
        clips = sorted(test, key=lambda identifier: identifier.rpartition("/")[2])
        true = put_end_to_end(path, videos, clips, predictor.recipes[0].resize)
        timeline = predict_timeline(predictor, path)
    probabilities = dict(timeline.scores)
    del probabilities["fused"]
    logits = {name: np.log(np.maximum(p, 1e-30)) for name, p in probabilities.items()}
    ids = [f"{fold} {number}" for number in range(len(timeline.edges) - 1)]
    for rule in RULES:
        (*_, fused) = predictor.scores(ids, logits, predictor.rule(rule), 1, 1, "logits")
        probabilities[rule] = fused.softmax()
    return replace(timeline, scores=probabilities), true


def put_end_to_end(path: Path, videos: Path, clips: Sequence[str], resize: Resize) -> list[Segment]:
    """Write clips after one another, without loss, in the size that the networks see."""
    segments: list[Segment] = []
    start = 0.0
    with av.open(str(path), "w") as container:
        stream: Any = None
        for identifier in clips:
            (source,) = videos.glob(f"{identifier}.*")
            with Video(source) as video:
                frames = [rgb for batch in video.frames(resize) for rgb in batch]
            if stream is None:
                rate = video.rate or Fraction(25)
                stream = container.add_stream("ffv1", rate=rate, options={"level": "3"})
                stream.height, stream.width = frames[0].shape[:2]
                stream.pix_fmt = "bgr0"
            for rgb in frames:
                container.mux(stream.encode(as_frame(rgb)))
            end = start + len(frames) / float(rate)
            segments.append(Segment(start, end, identifier.partition("/")[0]))
            start = end
        container.mux(stream.encode())
    return segments


def as_frame(rgb: UInt8) -> av.VideoFrame:
    """As PyAV encodes it."""
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")


def section_of(timelines: Mapping[str, Timeline], true: Segments, seeds: Sequence[int]) -> str:
    """The heading, what it is about, the table, and from where and when it is."""
    names = list(next(iter(timelines.values())).scores)
    rows = []
    for name in names:
        found = {key: timeline.segments[name] for key, timeline in timelines.items()}
        cells = [
            str(with_interval(lambda p, t, o=overlap: mean_average_precision(p, t, o), found, true))  # type: ignore[misc]
            for overlap in OVERLAPS
        ]
        number = sum(map(len, found.values()))
        rows.append([name, *cells, str(with_interval(time_right, found, true)), str(number)])
    options = next(iter(timelines.values())).options
    seconds = sum(segment.end - segment.start for own in true.values() for segment in own)
    told = (
        f"{len(true)} videos of {seconds:.0f} s in all with {sum(map(len, true.values()))} segments, "
        f"seeds {', '.join(map(str, seeds))}; hop {options.hop:.2f} s, window {options.window:.2f} s, "
        f"shortest segment {options.min_length:.2f} s; per cent, with 95 % intervals by bootstrap over "
        "the videos."
    )
    header = ["", *(f"segment mAP at IoU {one}" for one in OVERLAPS), "time right", "segments"]
    words = " ".join(map(str, seeds))
    return "\n\n".join(
        [
            "## UT-Interaction, clips put end to end",
            textwrap.fill(ABOUT, WIDTH),
            textwrap.fill(told, WIDTH),
            table(header, rows),
            textwrap.fill(
                f"`python results/{NAME}.py VIDEOS WORK --seeds {words}`; the table is of "
                f"{date.today()}, commit {commit()}; {machine()}, torch {torch.__version__}.",
                WIDTH,
            ),
        ]
    )


def time_right(predicted: Segments, true: Segments) -> float:
    """The share of the time in which the class that is told is the one that is shown: 0 to 1."""
    right = sum(
        max(0.0, min(one.end, other.end) - max(one.start, other.start))
        for video, segments in true.items()
        for one in segments
        for other in predicted[video]
        if one.label == other.label
    )
    return right / sum(one.end - one.start for own in true.values() for one in own)


def with_interval(
    measure: Callable[[Segments, Segments], float], predicted: Segments, true: Segments
) -> Interval:
    """A measure and its percentile interval, by drawing videos with replacement."""
    rng, videos = np.random.default_rng(0), sorted(true)
    drawn = []
    for _ in range(RESAMPLES):
        chosen = [
            (str(n), videos[i]) for n, i in enumerate(rng.integers(len(videos), size=len(videos)))
        ]
        drawn.append(
            measure(
                {new: predicted[old] for new, old in chosen},
                {new: true[old] for new, old in chosen},
            )
        )
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(measure(predicted, true), float(low), float(high))


if __name__ == "__main__":
    main()
