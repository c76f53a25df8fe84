"""What a report tells, read from the folders of runs: as values, without a look."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowcache.errors import UserError
from twostream.fusion import Weights
from twostream.runs import files
from twostream.score_fusion import FusedRuns, fuse_scores
from twostream.scoring.of_runs import scores_of
from twostream.scoring.scores import Scores

MEASURES_OF_EPOCHS = ("train_loss", "val_loss", "train_top1", "val_top1")
"""What is drawn of a run's epochs, where its file has it."""


@dataclass(frozen=True)
class RunRecord:
    """What a run's folder says beside its scores; what it does not say is empty."""

    name: str
    stream: str
    model: str

    epochs: Mapping[str, Sequence[float]]
    """The columns of `metrics.csv`, "epoch" and those of `MEASURES_OF_EPOCHS`, all of one length.

    Empty where it has none of these.
    """


@dataclass(frozen=True)
class Answer:
    """What one of the runs, or their fusion, says of a video."""

    by: str
    label: str
    probability: float | None
    """Of that class; None where a rule gives none."""

    right: bool


@dataclass(frozen=True)
class ChosenVideo:
    """One test video, and what each of the runs and the fusion say of it."""

    id: str
    label: str
    answers: Sequence[Answer]

    @property
    def sentence(self) -> str:
        """As `spatial: run 81 %, temporal: walk 55 %`."""
        return ", ".join(
            f"{one.by}: {one.label}"
            + ("" if one.probability is None else f" {100 * one.probability:.0f} %")
            for one in self.answers
        )


@dataclass(frozen=True)
class ChosenVideos:
    """Videos that have something in common."""

    name: str
    heading: str
    explanation: str
    videos: Sequence[ChosenVideo]


@dataclass(frozen=True)
class ReportContent:
    """All that is told of runs."""

    runs: Sequence[Scores]
    """Of the test videos that have a label, under the names of the folders."""

    records: Sequence[RunRecord]
    """One for each run."""

    fusion: FusedRuns | None
    """None of a single run."""

    chosen: Sequence[ChosenVideos]
    """The videos that the fusion rescued and those that it lost; of a single run, those it got wrong."""

    @property
    def all(self) -> Sequence[Scores]:
        """The scores of the runs, and those of their fusion last."""
        return [*self.runs, self.fusion.fused.labelled()] if self.fusion else self.runs


def read_content(
    folders: Sequence[Path], weights: Weights = (), rule: str = "softmax", views: str = ""
) -> ReportContent:
    """What a report tells of these runs.

    folders, weights, rule, views: see `score_fusion.fuse_scores`. A single run is told of alone.

    Raises UserError where no run is named; ScoresError where a run has no scores, where no test video has
    a label, or where the runs' scores do not belong together.
    """
    if not folders:
        raise UserError("there is no run to report on: name the folder of one or more", "runs")
    if len(folders) == 1:
        fusion = None
        runs: Sequence[Scores] = scores_of(folders, views)
    else:
        fusion = fuse_scores(folders, weights, rule, views)
        runs = fusion.runs
    runs = [one.labelled() for one in runs]
    return ReportContent(
        runs=runs,
        records=[_record(folder) for folder in folders],
        fusion=fusion,
        chosen=_rescued_and_lost(fusion) if fusion else [_wrong(runs[0])],
    )


def _wrong(run: Scores) -> ChosenVideos:
    own = _probability_of_label(run)
    rows = sorted(np.flatnonzero(~run.right()).tolist(), key=lambda row: float(own[row]))
    return ChosenVideos(
        "wrong",
        "Videos that it got wrong",
        "Sorted by the probability of the true class, the lowest first.",
        _videos(rows, [run]),
    )


def _rescued_and_lost(fusion: FusedRuns) -> Sequence[ChosenVideos]:
    runs = [one.labelled() for one in fusion.runs]
    fused, over = fusion.fused.labelled(), fusion.gain.over
    (best,) = (one for one in runs if one.name == over)
    own = _probability_of_label(fused)
    rescued = np.flatnonzero(fused.right() & ~best.right()).tolist()
    lost = np.flatnonzero(~fused.right() & best.right()).tolist()
    everything = [*runs, fused]
    return [
        ChosenVideos(
            "rescued",
            "Videos that the fusion rescued",
            f"The fusion is right and {over}, the best run alone, is wrong.",
            _videos(sorted(rescued, key=lambda r: -float(own[r])), everything),
        ),
        ChosenVideos(
            "lost",
            "Videos that the fusion lost",
            f"{over}, the best run alone, is right and the fusion is wrong.",
            _videos(sorted(lost, key=lambda r: float(own[r])), everything),
        ),
    ]


def _probability_of_label(scores: Scores) -> np.ndarray:
    return np.take_along_axis(scores.softmax(), scores.labels[:, None], 1)[:, 0]


def _videos(rows: Sequence[int], scores: Sequence[Scores]) -> list[ChosenVideo]:
    probabilities = [one.softmax() for one in scores]
    right = [one.right() for one in scores]

    def answer(number: int, row: int) -> Answer:
        of_video = probabilities[number][row]
        best = int(scores[number].logits[row].argmax())  # probabilities may round to a tie
        return Answer(
            scores[number].name,
            scores[number].classes[best],
            None if scores[number].ranks_only else float(of_video[best]),
            bool(right[number][row]),
        )

    first = scores[0]
    return [
        ChosenVideo(
            first.ids[row],
            first.classes[first.labels[row]],
            [answer(number, row) for number in range(len(scores))],
        )
        for row in rows
    ]


def _record(folder: Path) -> RunRecord:
    try:
        told = json.loads((folder / files.RECORD).read_text(encoding="utf-8"))["options"]
        stream, model = str(told["stream"]), str(told["model"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        stream = model = ""
    return RunRecord(files.name_of_run(folder), stream, model, _epochs(folder / files.EPOCHS))


def _epochs(path: Path) -> Mapping[str, Sequence[float]]:
    """UserError for a file that is none of those that a training writes."""
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
        kept = [name for name in ("epoch", *MEASURES_OF_EPOCHS) if rows and name in rows[0]]
        columns = {name: [float(row[name]) for row in rows] for name in kept}
    except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read ({error}): delete it, and the report has no learning curves of it",
            "runs",
        ) from None
    return columns if "epoch" in columns and len(columns) > 1 else {}
