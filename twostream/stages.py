"""The stages joined on files: cache → split → network → checkpoint → scores; see also score_fusion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import torch

from flowcache.atomic import remove_leftovers
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream.data.index import Item
from twostream.data.splits import Split, write_split
from twostream.data.streams import STREAMS
from twostream.option_fields import to_flat
from twostream.report.tables import write_metrics, write_predictions
from twostream.runs import files
from twostream.runs.checkpoint import add_spec, build_network, load_checkpoint
from twostream.runs.initial_weights import learnt_with, load_weights
from twostream.runs.model_recipe import card_of, complete, filled_in, starts_from_weights
from twostream.runs.resumption import refuse_other_data, resumption
from twostream.runs.run_json import (
    is_first_process,
    is_taken,
    precision_of,
    refuse_taken,
    start_run,
)
from twostream.runs.spec import Spec
from twostream.runs.split_of_run import groups_of, split_cache
from twostream.runs.training_options import Average, RunOptions, TrainOptions
from twostream.scoring.baseline import size_baseline
from twostream.scoring.evaluate import items_of_split, score
from twostream.scoring.frame_rates import frame_rates_of, unlike_rates
from twostream.scoring.scores import Scores
from twostream.training.data import ClipData
from twostream.training.fit import Row, fit, processes_of
from twostream.training.loggers import require_logger
from twostream.training.module import Classification, Objective, Training, own_loss


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who is told how a training goes; by default nobody."""

    say: Callable[[str], None] = lambda _: None
    """Is given sentences."""

    on_epoch: Callable[[Row, int], None] = lambda *_: None
    """Is given the measures of an epoch that has ended, and how many epochs there are."""

    on_clips: Callable[[int, int], None] = lambda *_: None
    """Is given how many clips have been scored after the training, and of how many."""

    progress_bar: bool = False
    """Whether Lightning may draw its own bar over the batches."""


SILENT = Listener()
"""What the helping processes of a distributed run have."""


def train(
    cache: FlowCache,
    folder: Path,
    options: TrainOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener = SILENT,
    network: Any = None,
) -> Scores | None:
    """Train one stream into `folder`, and score its test and validation videos with the best epoch.

    resume: go on with the run in the folder, which has these options; see `runs.run_json.recorded`.
    overwrite: replace an earlier run when the first epoch of this one has ended, and not before.
    network: a user's own, in place of the model that the options name; it gets the weights of the best
        epoch.

    Returns the scores of the test videos; None in the helping processes of a distributed run. UserError
    where the folder holds a run that is neither resumed nor replaced.
    """
    asked, options = options, complete(options, folder if resume else None)
    if not _learn(
        cache,
        folder,
        options,
        asked=asked,
        resume=resume,
        overwrite=overwrite,
        listener=listener,
        init=options.init,
        network=network,
    ):
        return None
    return evaluate(
        cache,
        folder,
        clips=options.clips,
        crops=options.crops,
        average=options.average,
        batch_size=options.schedule.batch_size,
        jobs=options.jobs,
        accelerator=options.trainer.accelerator,
        precision=options.trainer.precision,
        say=listener.say,
        on_clips=listener.on_clips,
        network=network,
    )


def pretrain(
    cache: FlowCache,
    folder: Path,
    options: RunOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener = SILENT,
) -> bool:
    """Train one stream into `folder` without labels, by the model's own pretraining.

    The videos are divided as `train` divides them, and those of the test part are not read. Returns
    False in the helping processes of a distributed run. UserError for a model without a pretraining, and
    for a folder as `train` has it.
    """
    return _learn(
        cache,
        folder,
        complete(options, folder if resume else None),
        asked=options,
        resume=resume,
        overwrite=overwrite,
        listener=listener,
        pretraining=True,
    )


def evaluate(
    cache: FlowCache,
    folder: Path,
    *,
    clips: int = 10,
    crops: int = 1,
    average: Average = "logits",
    batch_size: int = 32,
    jobs: int = 2,
    accelerator: str = "auto",
    precision: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_clips: Callable[[int, int], None] = lambda *_: None,
    network: Any = None,
) -> Scores:
    """Score a run's test and validation videos with its best checkpoint.

    clips, crops, average, accelerator, precision: see `scoring.evaluate.score`; by default the precision
    is that of the training. on_clips: is given how many clips are scored, and of how many. network: see
    `train`.

    Writes the scores of both, the predictions and `metrics.json` into the run's folder; where these
    already lie there for other clips, crops or another average, under names of their own, see
    `runs.files.of_views`.
    """
    model, spec = load_checkpoint(folder / files.BEST, network)
    if differences := spec.recipe.differences(cache.recipe):
        say(f"this cache differs from the one trained on: {'; '.join(differences)}")

    precision = precision or precision_of(folder)
    split, done = spec.split, 0
    total = clips * crops * (len(split.test) + len(split.validation))

    def count(scored_now: int) -> None:
        nonlocal done
        done += scored_now
        on_clips(done, total)

    def scored(items: Sequence[Item], trained_on: Sequence[str]) -> Scores:
        return score(
            model,
            spec,
            cache,
            items,
            clips=clips,
            crops=crops,
            average=average,
            batch_size=batch_size,
            workers=jobs,
            trained_on=trained_on,
            accelerator=accelerator,
            precision=precision,
            on_clips=count,
        )

    test, validation = items_of_split(cache, spec, "test", "validation", groups=groups_of(folder))
    if unlike := unlike_rates(spec, test):
        say(unlike)
    learnt = frozenset(spec.learnt)
    if leaked := [item.id for item in test if item.sha256 in learnt]:
        raise UserError(
            f"{cache.root} has as {leaked[0]}, which tests, a file that the network has learnt from: "
            "evaluate on the cache that was trained on",
            "cache",
        )
    scores = scored(test, (*split.train, *split.validation))
    if views := files.other_views(folder, clips, crops, average):
        say(f"the run's own scores stay: these are in {files.of_views(files.SCORES, views)}")

    def place(name: str) -> Path:
        return folder / files.of_views(name, views)

    scores.save(place(files.SCORES))
    metrics: dict[str, Any] = {
        "clips": clips,
        "crops": crops,
        "average": average,
        "split": split.digest,
        "test": scores,
    }
    if validation:
        metrics["validation"] = scored(validation, split.train)
        metrics["validation"].save(place(files.VALIDATION_SCORES))
    write_predictions(place(files.PREDICTIONS), scores)
    write_metrics(place(files.METRICS), metrics)
    return scores


def spec_of(
    options: RunOptions,
    cache: FlowCache,
    classes: tuple[str, ...],
    split: Split,
    pretraining: bool = False,
) -> Spec:
    """All that builds and feeds the network of a run: what was left to the model is filled in."""
    card, usual_length = card_of(options), STREAMS[options.stream].length
    return Spec(
        stream=options.stream,
        model=options.model,
        options=options.options,
        classes=classes,
        clip=card.fill(options.clip, options.stream, usual_length),
        recipe=cache.recipe,
        split=split,
        pretraining=pretraining,
    )


def try_clip(spec: Spec) -> None:
    """ClipSizeError where the network does not admit such clips: shapes alone, without computing."""
    values, clip = spec.values, spec.clip
    with torch.device("meta"), torch.no_grad():
        network = build_network(spec).network.eval()
        network(torch.empty(1, clip.length, values.channels, clip.crop, clip.crop))


def _learn(
    cache: FlowCache,
    folder: Path,
    options: RunOptions,
    *,
    asked: RunOptions,
    resume: bool,
    overwrite: bool,
    listener: Listener,
    pretraining: bool = False,
    init: str = "none",
    network: Any = None,
) -> bool:
    """Divide the videos, build the network and train it: what training and pretraining share.

    options: with nothing left to the model, see `complete`. asked: as they were before that.
    Returns False in the helping processes of a distributed run.
    """
    require_logger(options.trainer.logger)
    if resume and overwrite:
        raise UserError("a run is resumed or overwritten: leave out one of the two", "overwrite")
    first = is_first_process()
    if not first:
        listener = SILENT
    elif not resume:
        refuse_taken(folder, overwrite)
    say, schedule = listener.say, options.schedule
    index, split = split_cache(cache, options.split, options.seed, say)
    if len(index.classes) < 2 and not pretraining:
        raise UserError(
            f"{cache.root} has one class, {index.classes[0]}, and there is nothing to tell apart: "
            "extract videos of another"
        )
    taught = index.select((*split.train, *split.validation))
    spec = spec_of(options, cache, index.classes, split, pretraining)
    spec = replace(
        spec,
        learnt=tuple(sorted({item.sha256 for item in taught})),
        frame_rates=frame_rates_of(taught),
    )
    if network is None:
        try_clip(spec)
    with cache.entry(taught[0].id) as entry:
        spec.values.read(entry, [0])  # what the cache lacks shows before the folder is taken
    going_on = resumption(folder) if resume else None
    if going_on:
        refuse_other_data(folder, going_on.spec, spec, taught)
        spec = replace(spec, learnt=going_on.spec.learnt)
        if going_on.note:
            say(going_on.note)
    if not pretraining:
        told = size_baseline(index, [item.id for item in taught], split.test).top(1)
        say(f"size, length and frame rate alone tell the class of {told:.0%} of the test videos")
    lightning.seed_everything(options.seed, verbose=False)
    model = build_network(spec, network)
    if network is not None and init == "auto":
        init = "none"  # a user's own network starts as it is handed over
    elif schedule.body_rate == 0 and not going_on and not starts_from_weights(options):
        raise UserError(
            "layers that start at random cannot be frozen: leave body rate out", "body_rate"
        )
    if schedule.patience and not split.validation:
        raise UserError("nothing is held out by which to stop: give a validation share", "patience")
    if init != "none" and not going_on:
        spec = replace(spec, learnt=learnt_with(init, spec, index))
        for note in load_weights(model, init):
            say(f"weights: {note}")
    parameters = sum(p.numel() for p in model.parameters())
    batches_a_step = options.trainer.accumulate * processes_of(options.trainer)
    epochs = schedule.epochs_for(len(split.train), batches_a_step)
    say(f"{options.model}, {parameters:,} parameters, {epochs} epochs")
    data = ClipData(
        cache,
        index.select(split.train),
        index.select(split.validation),
        spec.values,
        spec.clip,
        seed=options.seed,
        batch_size=schedule.batch_size,
        workers=options.jobs,
        first_epoch=going_on.next_epoch if going_on else 0,
        repeats=schedule.clips_an_epoch,
        segments=schedule.segments,
    )

    def claim() -> None:
        """Make the folder this run's own."""
        start_run(
            folder,
            options,
            left_to_model=filled_in(asked, options),
            cache=str(cache.root),
            recipe=str(cache.recipe),
            split=split.digest,
        )
        write_split(folder / files.SPLIT, index, split)

    replaces = is_taken(folder)
    if first:
        remove_leftovers(folder.glob(".*"))
        if not going_on and not replaces:
            claim()
    trainer = fit(
        Training(
            model,
            _objective(options, len(index.classes), pretraining),
            schedule,
            lambda content: add_spec(content, spec),
            options.seed,
        ),
        data,
        folder,
        epochs=epochs,
        ema=schedule.ema,
        keep=schedule.keep,
        patience=schedule.patience,
        validated=bool(split.validation),
        resume_from=going_on.path if going_on else None,
        before_first_checkpoint=claim if replaces and not going_on else None,
        on_epoch=lambda row: listener.on_epoch(row, epochs),
        progress_bar=listener.progress_bar,
        options=options.trainer,
        told=to_flat(options),
    )
    return bool(trainer.is_global_zero)


def _objective(options: RunOptions, classes: int, pretraining: bool) -> Objective:
    if pretraining:
        return own_loss
    smoothing = options.label_smoothing if isinstance(options, TrainOptions) else 0.0
    return Classification(classes, smoothing)
