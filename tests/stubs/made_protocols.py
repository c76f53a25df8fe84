"""Protocols whose runs were never trained: their scores are written by hand."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from twostream.protocol.folds import Fold
from twostream.protocol.options import ProtocolOptions
from twostream.protocol.plan import Protocol
from twostream.runs import files
from twostream.runs.training_options import TrainOptions
from twostream.scoring.scores import Scores


def make_protocol(
    folder: Path,
    *,
    right: Mapping[str, float],
    folds: int = 2,
    seeds: tuple[int, ...] = (0,),
    videos: int = 4,
) -> Protocol:
    """A protocol of two classes with the scores of each run, of which such a share is right.

    videos: of each fold, in two groups. As many are held out.
    """
    parts = []
    for number in range(1, folds + 1):
        ids = tuple(f"c{v % 2}/v {number} {v}" for v in range(videos))
        parts.append(Fold(f"{number:02}", ("c0/other", "c1/other"), ids))
    runs = {name: TrainOptions(stream="temporal") for name in right}
    protocol = Protocol(folder, ProtocolOptions(folds=folds, seeds=seeds), runs, tuple(parts))
    rng = np.random.default_rng(0)
    for training in protocol.trainings():
        fold = training.fold
        (test,) = (part.test for part in parts if part.name == fold)
        held_out = tuple(f"c{v % 2}/held out {fold} {v}" for v in range(videos))
        for file, ids in ((files.SCORES, test), (files.VALIDATION_SCORES, held_out)):
            _write(training.folder / file, training.name, ids, right[training.name], rng)
    return protocol


def _write(
    path: Path, name: str, ids: tuple[str, ...], right: float, rng: np.random.Generator
) -> None:
    labels = np.arange(len(ids)) % 2
    said = np.where(np.arange(len(ids)) < round(right * len(ids)), labels, 1 - labels)
    logits = np.zeros((len(ids), 2), np.float32)
    logits[np.arange(len(ids)), said] = rng.uniform(1, 2, len(ids))
    Scores(
        name=name,
        ids=ids,
        logits=logits,
        labels=labels,
        classes=("c0", "c1"),
        trained_on=("c0/other", "c1/other"),
        groups=tuple(f"{identifier.split()[-2]} {n % 2}" for n, identifier in enumerate(ids)),
    ).save(path)
