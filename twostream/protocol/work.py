"""The trainings of a protocol, one after another; several processes may share them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import filelock

from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream import stages
from twostream.protocol.plan import Protocol, Training
from twostream.runs import files
from twostream.runs.run_json import recorded
from twostream.runs.training_options import TrainOptions
from twostream.runs.views import Views, file_of_views
from twostream.training.listener import SILENT, Listener


def is_done(training: Training) -> bool:
    """Whether a run is trained and scored: its measures are written last."""
    return (training.folder / files.METRICS).exists()


def work(
    protocol: Protocol,
    cache: FlowCache,
    *,
    only: Sequence[str] = (),
    listener: Listener = SILENT,
    on_training: Callable[[Training, int, int], None] = lambda *_: None,
) -> list[Training]:
    """Train and score what is not done yet, and go on with what was killed.

    only: the names of the folds to work on; by default all. on_training: is given each run that begins,
    its number from 1, and how many there are. A run that another process is working on is left to it.

    Returns the runs that are not done in the end. UserError, naming the run, where one cannot be trained.
    """
    known = [fold.name for fold in protocol.folds]
    if unknown := [name for name in only if name not in known]:
        raise UserError(
            f"there is no fold {unknown[0]}: choose from {known[0]} to {known[-1]}", "only"
        )
    every = list(protocol.trainings())
    for number, training in enumerate(every, 1):
        if only and training.fold not in only:
            continue
        training.folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(training.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            continue
        try:
            if not is_done(training):
                on_training(training, number, len(every))
                _train(training, cache, listener)
        except UserError as error:
            raise UserError(f"{training}: {error}", error.parameter) from error
        finally:
            lock.release()
    return [training for training in every if not is_done(training)]


def score_views(
    protocol: Protocol, cache: FlowCache, views: str, *, listener: Listener = SILENT
) -> None:
    """Score all runs with other clips, crops or another average, where that is not done yet.

    views: as "25x10", see `runs.views`. UserError for other text, and where a run is not done.
    """
    asked = Views.of_text(views)
    for training in protocol.trainings():
        folder = training.folder
        measures = file_of_views(folder, files.METRICS, views)
        with filelock.FileLock(folder / ".lock"):  # another process may be scoring it
            if (folder / measures).exists():  # they are written last
                continue
            listener.say(f"{training}, {views}")
            stages.evaluate_run(
                cache, folder, replace(training.options, **asdict(asked)), listener=listener
            )


def _train(training: Training, cache: FlowCache, listener: Listener) -> None:
    begun = any((training.folder / name).exists() for name in (files.LAST, files.PREVIOUS))
    if begun:
        had = recorded(TrainOptions, training.folder)
        # The lists may be named by another path now: that the videos are the same is seen on resuming.
        if replace(had, split=training.options.split) != training.options:
            raise UserError(f"{training.folder} holds another run: move it away", "run")
    stages.train(cache, training.folder, training.options, resume=begun, listener=listener)
