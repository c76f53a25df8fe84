"""The test scores of all folds and seeds of a protocol, fused and taken together."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream.fusion import Weights, needs_held_out, rule_for, shares_for
from twostream.protocol.plan import Protocol
from twostream.runs.split_of_run import index_of
from twostream.scoring.baseline import NO_PICTURE, size_baseline
from twostream.scoring.evaluate import require_videos
from twostream.scoring.of_runs import held_out_scores_of, scores_of
from twostream.scoring.scores import Scores, ScoresError

FitOn = Literal["validation", "folds"]
"""The validation videos of the fold's own runs; or the test videos of all other folds, which train here.

The latter are many more, though none of a group that tests here is among them. Their scores are out of
fold: a network that had not seen them gave them. But those networks have learnt from videos that test
here, so what is fitted is not wholly independent of these: use it for rules with few parameters, as
shares and temperatures.
"""


Read = Callable[[str, int, tuple[str, ...], bool], list[Scores]]
"""Fold, seed, names of runs, and whether the validation videos are wanted → the runs' scores, joined."""


@dataclass(frozen=True)
class Ensemble:
    """Runs of a protocol that are fused.

    runs: their names. rule, weights: see `fusion.rule_for`. fit_on: the videos on which what is fitted is
        fitted in a fold, see `FitOn`.
    """

    name: str
    runs: tuple[str, ...]
    rule: str = "softmax"
    weights: Weights = ()
    fit_on: FitOn = "validation"


@dataclass(frozen=True)
class Outcome:
    """What one run, or one way of fusing several, came to.

    folds: the scores of the test videos of each fold, in a row for each seed. parts: the names of the
        runs that were fused; empty for a run.
    """

    name: str
    folds: tuple[tuple[Scores, ...], ...]
    parts: tuple[str, ...] = ()

    @functools.cached_property
    def pooled(self) -> list[Scores]:
        """For each seed the test videos of all folds, each called by its fold and its id.

        A video that tests in several folds counts in each, and its group holds all of them, so that an
        interval over groups stays honest.
        """
        return [_together(self.name, folds) for folds in self.folds]


def refuse_unfit(protocol: Protocol, ensembles: Sequence[Ensemble]) -> None:
    """UserError for ensembles that cannot be; so it is told before anything is trained.

    Refused are unknown runs and rules, weights that do not fit them, the name of another result, and a
    fit on videos that are not there: where a run holds none back, or where there are no other folds.
    """
    names = [NO_PICTURE, *protocol.runs]
    for one in ensembles:
        if one.name in names:
            raise UserError(f"two results are called {one.name}: rename an ensemble", "ensembles")
        names.append(one.name)
        if unknown := [run for run in one.runs if run not in protocol.runs]:
            raise UserError(
                f"{one.name} fuses {unknown[0]}, which is not trained: choose from "
                f"{', '.join(protocol.runs)}",
                "ensembles",
            )
        shares_for(one.rule, one.runs, one.weights)
        fitted = needs_held_out(one.rule, one.weights)
        if one.fit_on == "folds" and not fitted:
            raise UserError(
                f"{one.name} has nothing to fit on other folds: leave that out, or name a rule that is "
                "fitted",
                "fit_on",
            )
        without = [run for run in one.runs if not protocol.runs[run].split.validation_share]
        if fitted and one.fit_on == "validation" and without:
            raise UserError(
                f"{one.name} is to be fitted on validation videos, and {without[0]} holds none back: "
                "give it a validation share, or fit on the other folds",
                "fit_on",
            )
        if one.fit_on == "folds" and len(protocol.folds) < 2:
            raise UserError(
                f"{one.name} is to be fitted on the other folds, and there is one alone: fit it on "
                "validation videos",
                "fit_on",
            )


def outcomes(protocol: Protocol, ensembles: Sequence[Ensemble], views: str = "") -> list[Outcome]:
    """Each run of a protocol, and each ensemble of them.

    A rule that is fitted is fitted in each fold and for each seed anew, and never on a test video of
    that fold. views: of whose scores, see `work.score_views`; by default the runs' own.

    UserError where a run is not done, where runs of a fold do not belong together, and where a rule
    has nothing to be fitted on.
    """

    def each_fold(score: Callable[[str, int], Scores]) -> tuple[tuple[Scores, ...], ...]:
        return tuple(
            tuple(score(fold.name, seed) for fold in protocol.folds) for seed in protocol.seeds
        )

    @functools.cache
    def read(fold: str, seed: int, names: tuple[str, ...], held_out: bool) -> list[Scores]:
        folders = [protocol.training(fold, seed, name).folder for name in names]
        return held_out_scores_of(folders, views) if held_out else scores_of(folders, views)

    def run(name: str) -> Outcome:
        return Outcome(name, each_fold(lambda fold, seed: read(fold, seed, (name,), False)[0]))

    def fused(ensemble: Ensemble) -> Outcome:
        folds = [fold.name for fold in protocol.folds]
        scores = each_fold(lambda fold, seed: _fuse(read, folds, fold, seed, ensemble))
        return Outcome(ensemble.name, scores, ensemble.runs)

    return [*map(run, protocol.runs), *map(fused, ensembles)]


def no_picture(protocol: Protocol, cache: FlowCache) -> Outcome:
    """What size, length and frame rate alone tell, see `scoring.baseline`: the same for every seed."""
    index = index_of(cache, protocol.options)
    for fold in protocol.folds:
        require_videos(index, cache, (*fold.train, *fold.test), f"videos of fold {fold.name}")
    folds = tuple(size_baseline(index, fold.train, fold.test) for fold in protocol.folds)
    return Outcome(NO_PICTURE, (folds,) * len(protocol.seeds))


def _fuse(read: Read, folds: Sequence[str], fold: str, seed: int, ensemble: Ensemble) -> Scores:
    names = tuple(ensemble.runs)
    try:
        test = read(fold, seed, names, False)
        held_out: Sequence[Scores] = ()
        if needs_held_out(ensemble.rule, ensemble.weights):
            if ensemble.fit_on == "folds":
                others = [read(other, seed, names, False) for other in folds if other != fold]
                held_out = [_others(each, test[0]) for each in zip(*others, strict=True)]
            else:
                held_out = read(fold, seed, names, True)
        return rule_for(ensemble.rule, names, ensemble.weights, held_out)(test)
    except UserError as error:
        raise UserError(f"fold {fold}, seed {seed}: {error}", error.parameter) from error


def _others(folds: Sequence[Scores], test: Scores) -> Scores:
    """The scores of other folds, each video once, without those that test here and their groups."""
    pooled = _together(folds[0].name, folds)
    ids = [i for fold in folds for i in fold.ids]
    first = {i: row for row, i in reversed(list(enumerate(ids)))}
    here, tested = {*(test.groups or test.ids)}, {*test.ids}
    rows = [
        row
        for row, i in enumerate(ids)
        if first[i] == row and i not in tested and pooled.groups[row] not in here
    ]
    return replace(
        pooled,
        ids=tuple(ids[row] for row in rows),
        logits=pooled.logits[rows],
        labels=pooled.labels[rows],
        groups=tuple(pooled.groups[row] for row in rows),
    )


def _together(name: str, folds: Sequence[Scores]) -> Scores:
    """The videos of all folds. The fold is part of an id, since folds may share videos.

    ScoresError for folds of other classes, as where the cache got one between their trainings.
    """
    first = folds[0]
    for fold in folds[1:]:
        if fold.classes != first.classes:
            unlike = sorted({*fold.classes} ^ {*first.classes}) or list(fold.classes)
            raise ScoresError(
                f"{name}: the folds have different classes ({unlike[0]} is not in all, or has moved): "
                "train all on the cache as it was"
            )
    return replace(
        first,
        name=name,
        ids=tuple(f"{n:02}/{i}" for n, fold in enumerate(folds, 1) for i in fold.ids),
        logits=np.concatenate([fold.logits for fold in folds]),
        labels=np.concatenate([fold.labels for fold in folds]),
        groups=tuple(g for fold in folds for g in fold.groups or fold.ids),
        trained_on=(),
    )
