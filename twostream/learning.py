"""What training and pretraining share: from a cache and options to the checkpoints of a run."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch

from flowcache.atomic import remove_leftovers
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream.data.index import Item, VideoIndex
from twostream.data.splits import Split, write_split
from twostream.data.streams import STREAMS
from twostream.nets.normalize import Normalized
from twostream.option_fields import to_flat
from twostream.runs import files
from twostream.runs.checkpoint import add_spec, build_network
from twostream.runs.initial_weights import learnt_with, load_weights
from twostream.runs.model_recipe import card_of, filled_in, starts_from_weights
from twostream.runs.resumption import Resumption, refuse_other_data, resumption
from twostream.runs.run_json import is_first_process, is_taken, refuse_taken, start_run
from twostream.runs.spec import Spec
from twostream.runs.split_of_run import split_cache
from twostream.runs.training_options import RunOptions, TrainOptions
from twostream.scoring.baseline import size_baseline
from twostream.scoring.frame_rates import frame_rates_of
from twostream.training.data import ClipData
from twostream.training.fit import fit, processes_of
from twostream.training.listener import SILENT, Listener
from twostream.training.loggers import require_logger
from twostream.training.module import Classification, Objective, Training, own_loss

Say = Callable[[str], None]
"""Is given sentences for the user."""


def learn(
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
    """Divide the videos, build the network and train it, by the model's own pretraining or by labels.

    options: with nothing left to the model, see `model_recipe.complete`. asked: as they were before that.
    All else as `stages.train` has it.

    Returns False in the helping processes of a distributed run.
    """
    schedule, first = options.schedule, is_first_process()
    if not first:
        listener = SILENT
    say = listener.say
    require_logger(options.trainer.logger)
    if resume and overwrite:
        raise UserError("a run is resumed or overwritten: leave out one of the two", "overwrite")
    if first and not resume:
        refuse_taken(folder, overwrite)

    index, split = split_cache(cache, options.split, options.seed, say)
    if len(index.classes) < 2 and not pretraining:
        raise UserError(
            f"{cache.root} has one class, {index.classes[0]}, and there is nothing to tell apart: "
            "extract videos of another"
        )
    if schedule.patience and not split.validation:
        raise UserError("nothing is held out by which to stop: give a validation share", "patience")
    seen = index.select((*split.train, *split.validation))
    spec = replace(
        spec_of(options, cache, index.classes, split, pretraining),
        learnt=tuple(sorted({item.sha256 for item in seen})),
        frame_rates=frame_rates_of(seen),
    )
    if network is None:
        try_clip(spec)
    with cache.entry(seen[0].id) as entry:
        spec.values.read(entry, [0])  # what the cache lacks shows before the folder is taken
    going_on = _point_to_go_on_from(folder, spec, seen, say) if resume else None
    if not pretraining:
        share = size_baseline(index, [item.id for item in seen], split.test).top(1)
        say(f"size, length and frame rate alone tell the class of {share:.0%} of the test videos")

    lightning.seed_everything(options.seed, verbose=False)
    model = build_network(spec, network)
    if going_on:
        spec = replace(spec, learnt=going_on.spec.learnt)
    else:
        spec = _begin(model, spec, options, init, index, own=network is not None, say=say)
    epochs = _epochs(options, split)
    parameters = sum(p.numel() for p in model.parameters())
    say(f"{options.model}, {parameters:,} parameters, {epochs} epochs")

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

    replaces = is_taken(folder) and not going_on
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
        _clips(cache, index, spec, options, going_on.next_epoch if going_on else 0),
        folder,
        epochs=epochs,
        ema=schedule.ema,
        keep=schedule.keep,
        patience=schedule.patience,
        validated=bool(split.validation),
        resume_from=going_on.path if going_on else None,
        before_first_checkpoint=claim if replaces else None,
        on_epoch=lambda row: listener.on_epoch(row, epochs),
        progress_bar=listener.progress_bar,
        options=options.trainer,
        told=to_flat(options),
    )
    return bool(trainer.is_global_zero)


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


def _point_to_go_on_from(
    folder: Path, spec: Spec, seen: Sequence[Item], say: Say
) -> Resumption | None:
    """The checkpoint of a run that is resumed; None where it was killed before its first.

    seen: the videos that train or validate now. UserError where they are not those that it began with.
    """
    found = resumption(folder)
    if found:
        refuse_other_data(folder, found.spec, spec, seen)
        if found.note:
            say(found.note)
    return found


def _begin(
    model: Normalized,
    spec: Spec,
    options: RunOptions,
    init: str,
    index: VideoIndex,
    *,
    own: bool,
    say: Say,
) -> Spec:
    """Give a network the weights that it starts from; the spec then names also what these have learnt.

    own: it is a user's, and starts as it is handed over unless weights are named.
    """
    if own and init == "auto":
        return spec
    if options.schedule.body_rate == 0 and not starts_from_weights(options):
        raise UserError(
            "layers that start at random cannot be frozen: leave body rate out", "body_rate"
        )
    if init == "none":
        return spec
    spec = replace(spec, learnt=learnt_with(init, spec, index))
    for note in load_weights(model, init):
        say(f"weights: {note}")
    return spec


def _epochs(options: RunOptions, split: Split) -> int:
    batches_a_step = options.trainer.accumulate * processes_of(options.trainer)
    return options.schedule.epochs_for(len(split.train), batches_a_step)


def _clips(
    cache: FlowCache, index: VideoIndex, spec: Spec, options: RunOptions, first_epoch: int
) -> ClipData:
    schedule = options.schedule
    return ClipData(
        cache,
        index.select(spec.split.train),
        index.select(spec.split.validation),
        spec.values,
        spec.clip,
        seed=options.seed,
        batch_size=schedule.batch_size,
        workers=options.jobs,
        first_epoch=first_epoch,
        repeats=schedule.clips_an_epoch,
        segments=schedule.segments,
    )


def _objective(options: RunOptions, classes: int, pretraining: bool) -> Objective:
    if pretraining:
        return own_loss
    smoothing = options.label_smoothing if isinstance(options, TrainOptions) else 0.0
    return Classification(classes, smoothing)
