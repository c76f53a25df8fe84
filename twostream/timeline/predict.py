"""A long video through every run and the fusion: scores over time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from flowcache.errors import printable
from flowcache.types import Float32, Float64
from twostream.data.clip_reader import require_views
from twostream.fusion import Weights
from twostream.prediction.predict import OnShare, Predictor, share_of_pass
from twostream.prediction.videos import require_file
from twostream.runs.training_options import Average
from twostream.scoring.detection import Segment
from twostream.timeline.follow import follow
from twostream.timeline.options import TimelineOptions
from twostream.timeline.segments import segments_of


@dataclass(frozen=True, eq=False)
class Timeline:
    """What is shown in a video, over time.

    edges: (N + 1), where each of N parts of the video begins and the last one ends, seconds.
    scores: probabilities (N, K) of each part, by the name of each run and, where there are several, of
        their fusion, which comes last.
    classes: (K) names.
    options: by which it was made, with every value.
    partial: why the video could not be decoded to its end; empty where it was.
    """

    video: str
    edges: Float64
    scores: Mapping[str, Float32]
    classes: tuple[str, ...]
    options: TimelineOptions
    partial: str = ""

    HEADER: ClassVar[Sequence[str]] = (
        *("video", "run"),
        *("start", "end", "class", "confidence"),
        "error",
    )
    """Of a table of `rows`, whose last column says why a video breaks off or nothing comes of it."""

    def rows(self) -> list[Sequence[object]]:
        """A row for each run and segment; of a video in which nothing is shown a single one."""
        rows: list[Sequence[object]] = [
            (
                printable(self.video),
                name,
                *(f"{each.start:.3f}", f"{each.end:.3f}"),
                *(each.label, f"{each.confidence:.4f}", self.partial),
            )
            for name, segments in self.segments.items()
            for each in segments
        ]
        return rows or [(printable(self.video), "", "", "", "", "", self.partial)]

    def to_plain(self) -> dict[str, Any]:
        """As JSON may hold it: segments, and scores over time to four digits."""
        segments = {
            name: [
                {
                    "start": round(each.start, 3),
                    "end": round(each.end, 3),
                    "class": each.label,
                    "confidence": round(each.confidence, 4),
                }
                for each in found
            ]
            for name, found in self.segments.items()
        }
        scores = {
            name: np.round(each.astype(np.float64), 4).tolist()
            for name, each in self.scores.items()
        }
        return {
            "video": printable(self.video),
            "partial": self.partial,
            **asdict(self.options),
            "segments": segments,
            "classes": list(self.classes),
            "edges": np.round(self.edges, 3).tolist(),
            "scores": scores,
        }

    def __repr__(self) -> str:
        start, end = self.edges[0], self.edges[-1]
        return f"Timeline({self.video!r}, {start:.2f}–{end:.2f} s in {len(self.edges) - 1} parts)"

    @property
    def segments(self) -> Mapping[str, list[Segment]]:
        """By the name of each run and of the fusion; see `timeline.segments`."""
        return {
            name: segments_of(
                probabilities,
                self.edges,
                self.classes,
                min_length=self.options.min_length,
                threshold=self.options.threshold,
            )
            for name, probabilities in self.scores.items()
        }


def predict_timeline(
    predictor: Predictor,
    video: str | Path,
    options: TimelineOptions = TimelineOptions(),  # noqa: B008 (it is frozen)
    *,
    weights: Weights = (),
    rule: str = "softmax",
    crops: int = 1,
    average: Average = "logits",
    on_share: OnShare = lambda _: None,
) -> Timeline:
    """Each run's classes over time and, where there are several runs, those of their fusion.

    Every `options.hop` seconds each network sees the clip that ends there. Its logits are averaged over
    the clips whose middles lie in a window around each part of the video, and then fused. Neither frames
    nor flow are kept, so memory does not grow with the video but for these numbers.

    weights, rule: see `Predictor.rule`. crops, average: see `Scores`. on_share: is told how much of the
    video is done, 0 to 1.

    Raises UserError for a video that cannot be decoded or is too short. Where it breaks after its first
    clips, the timeline ends there and says so in `partial`.
    """
    video = require_file(video)
    require_views(1, crops)
    fusion = predictor.rule(rule, weights) if len(predictor.names) > 1 else None
    networks = dict(zip(predictor.names, predictor.networks, strict=True))
    clips = [network.spec.clip for network in predictor.networks]
    groups = predictor.groups
    passes = [
        follow(
            video,
            recipe,
            {name: networks[name] for name in names},
            lambda rate: options.filled(clips, rate),
            crops,
            share_of_pass(on_share, number, len(groups)),
        )
        for number, (recipe, names) in enumerate(groups)
    ]
    filled = passes[0].options
    edges = _edges(passes[0].start, min(one.end for one in passes), filled.hop)
    centres = (edges[1:] + edges[:-1]) / 2
    logits = {
        name: curve.windowed(centres, filled.window, average)
        for one in passes
        for name, curve in one.curves.items()
    }
    ids = [f"{video} {number}" for number in range(len(centres))]
    scores = predictor.scores(ids, logits, fusion, 1, crops, average)
    probabilities = {one.name: one.softmax() for one in scores}
    partial = "; ".join(dict.fromkeys(one.partial for one in passes))
    return Timeline(str(video), edges, probabilities, predictor.classes, filled, partial)


def _edges(start: float, end: float, hop: float) -> Float64:
    """Every hop from the start, and the end."""
    parts = max(1, int(np.ceil((end - start) / hop - 1e-6)))
    return np.append(start + hop * np.arange(parts), end)
