"""The stages joined: cache → split → network → checkpoint → scores. Each works on files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from flowcache import plugins
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream import fusion
from twostream.data.clips import ClipData, TestClips, make_loader
from twostream.data.index import Item, VideoIndex, VideoIndexError, read_index
from twostream.data.splits import Split, check_leakage, write_split
from twostream.nets.normalize import Normalized
from twostream.nets.pretrained import fetch, load_published, read_state
from twostream.report.report import write_confusion_csv, write_confusion_png, write_predictions
from twostream.runs.checkpoint import (
    Spec,
    add_spec,
    first_epoch_after,
    learnt_from,
    load_checkpoint,
)
from twostream.runs.record import (
    PREDICTIONS,
    SCORES,
    SPLIT,
    RunOptions,
    TrainOptions,
    is_first_process,
)
from twostream.scoring.evaluate import average_logits
from twostream.scoring.scores import Scores, align
from twostream.training.fit import (
    BEST,
    LAST,
    Classification,
    Objective,
    Row,
    Training,
    fit,
    own_loss,
)

Say = Callable[[str], None]
FusionRule = Callable[[Sequence[Scores]], Scores]


def train_stream(
    cache: FlowCache,
    folder: Path,
    options: TrainOptions,
    *,
    resume: bool = False,
    say: Say = lambda _: None,
    on_epoch: Callable[[Row], None] = lambda _: None,
    progress_bar: bool = False,
) -> Scores | None:
    """Train one stream into `folder` and score its test videos with the best checkpoint.

    Returns the scores; None in the helping processes of a distributed run.
    """
    tested = _learn(
        cache,
        folder,
        options,
        weights=options.weights,
        resume=resume,
        say=say,
        on_epoch=on_epoch,
        progress_bar=progress_bar,
    )
    if tested is None:
        return None
    return evaluate_run(
        cache,
        folder,
        tested,
        clips=options.clips,
        crops=options.crops,
        batch_size=options.batch_size,
        workers=options.workers,
        say=say,
    )


def pretrain_stream(
    cache: FlowCache,
    folder: Path,
    options: RunOptions,
    *,
    resume: bool = False,
    say: Say = lambda _: None,
    on_epoch: Callable[[Row], None] = lambda _: None,
    progress_bar: bool = False,
) -> bool:
    """Train one stream into `folder` without labels, by the model's own pretraining.

    The videos are divided as `train_stream` divides them, and those of the test part are not read.
    Returns False in the helping processes of a distributed run. UserError for a model without a
    pretraining.
    """
    tested = _learn(
        cache,
        folder,
        options,
        pretraining=True,
        resume=resume,
        say=say,
        on_epoch=on_epoch,
        progress_bar=progress_bar,
    )
    return tested is not None


def _learn(
    cache: FlowCache,
    folder: Path,
    options: RunOptions,
    *,
    pretraining: bool = False,
    weights: str | None = None,
    resume: bool,
    say: Say,
    on_epoch: Callable[[Row], None],
    progress_bar: bool,
) -> Sequence[Item] | None:
    """Divide the videos, build the network and train it: what training and pretraining share.

    Returns the test videos; None in the helping processes of a distributed run.
    """
    if not is_first_process():
        say = on_epoch = _say_nothing
    index, split = options.split.carry_out(cache, options.seed)
    resume = resume and (folder / LAST).exists()
    if index.partial:
        say(f"{len(index.partial)} videos are known only in part, the first is {index.partial[0]}")
    if all(item.group == item.id for item in index.items):
        say("no groups: each video counts as one (related videos can be named by groups)")
    spec = Spec(
        stream=options.stream,
        model=options.model,
        options=options.options,
        classes=index.classes,
        clip=options.clip,
        recipe=cache.recipe,
        split=split,
        pretraining=pretraining,
    )
    try_clip(spec)
    if is_first_process():
        write_split(folder / SPLIT, index, split)
    say(
        f"{len(split.train)} videos train, {len(split.validation)} choose the best epoch, "
        f"{len(split.test)} are kept for the test; {len(index.classes)} classes"
    )
    schedule = options.schedule
    lightning.seed_everything(options.seed, verbose=False)
    model = spec.build()
    if weights and not resume:
        _refuse_leakage(weights, index, split)
        for note in _load_weights(model, weights):
            say(f"weights: {note}")
    parameters = sum(p.numel() for p in model.parameters())
    say(f"{options.model}, {parameters:,} parameters, {schedule.epochs} epochs")
    data = ClipData(
        cache,
        index.select(split.train),
        index.select(split.validation),
        spec.values,
        spec.clip,
        seed=options.seed,
        batch_size=options.batch_size,
        workers=options.workers,
        first_epoch=first_epoch_after(folder / LAST) if resume else 0,
    )
    objective: Objective = own_loss
    if not pretraining:
        objective = Classification(len(index.classes), schedule.label_smoothing)
    trainer = fit(
        Training(model, objective, schedule, lambda content: add_spec(content, spec)),
        data,
        folder,
        epochs=schedule.epochs,
        validated=bool(split.validation),
        resume=resume,
        on_epoch=on_epoch,
        progress_bar=progress_bar,
        **options.trainer,
    )
    return index.select(split.test) if trainer.is_global_zero else None


def evaluate_run(
    cache: FlowCache,
    folder: Path,
    items: Sequence[Item],
    *,
    clips: int,
    crops: int,
    batch_size: int = 32,
    workers: int = 2,
    say: Say = lambda _: None,
) -> Scores:
    """Score videos with a run's best checkpoint; writes `scores.npz` and `predictions.csv` there."""
    model, spec = load_checkpoint(folder / BEST)
    if differences := spec.recipe.differences(cache.recipe):
        say(f"this cache differs from the one trained on: {'; '.join(differences)}")
    scores = score(
        model, spec, cache, items, clips=clips, crops=crops, batch_size=batch_size, workers=workers
    )
    scores.save(folder / SCORES)
    write_predictions(folder / PREDICTIONS, scores)
    return scores


def items_to_test(cache: FlowCache, spec: Spec) -> tuple[Item, ...]:
    """The test videos of a checkpoint's split, as they lie in a cache. UserError where one lacks."""
    index = read_index(cache, None, spec.classes)
    here = {item.id for item in index.items}
    if missing := [i for i in spec.split.test if i not in here]:
        raise UserError(
            f"{len(missing)} of the {len(spec.split.test)} test videos are not in {cache.root}, the "
            f"first is {missing[0]}: name the cache that was trained on",
            "cache",
        )
    return index.select(spec.split.test)


def fuse_runs(runs: Path, weights: Mapping[str, float], rule: str) -> list[Scores]:
    """Fuse the scores of `runs/<name>`; writes `runs/fused`. Returns the streams' and the fused scores.

    ScoresError where they do not belong together, see `scores.align`.
    """
    check_weights(weights)
    streams = align([Scores.load(runs / name / SCORES) for name in weights])
    fuse: FusionRule = plugins.create(fusion, rule, weights=weights)
    fused = fuse(streams)
    folder = runs / "fused"
    fused.save(folder / SCORES)
    write_predictions(folder / PREDICTIONS, fused)
    write_confusion_csv(folder / "confusion.csv", fused)
    write_confusion_png(folder / "confusion.png", [*streams, fused])
    return [*streams, fused]


def check_weights(weights: Mapping[str, float]) -> None:
    """UserError unless these make a weighted mean of two streams or more."""
    values = list(weights.values())
    if len(values) < 2 or not all(0 <= v < np.inf for v in values) or sum(values) == 0:
        raise UserError(
            "weights must be two or more numbers, none below 0, not all 0 and none infinite",
            "weights",
        )


def try_clip(spec: Spec) -> None:
    """ClipSizeError where the network does not admit such clips: shapes alone, without computing."""
    values, clip = spec.values, spec.clip
    with torch.device("meta"), torch.no_grad():
        network = spec.build().network.eval()
        network(torch.empty(1, clip.length, values.channels, clip.size, clip.size))


def score(
    model: Normalized,
    spec: Spec,
    cache: FlowCache,
    items: Sequence[Item],
    *,
    clips: int,
    crops: int,
    batch_size: int,
    workers: int,
) -> Scores:
    """Logits of evenly spaced clips, averaged over each video."""
    dataset = TestClips(cache, items, spec.values, spec.clip, clips, crops)
    loader = make_loader(dataset, max(1, batch_size // crops), workers)
    # The cache at hand may have another quantiser than the one trained on.
    model.set_scale(spec.values.scale(cache.recipe))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Scores(
        name=spec.stream,
        ids=tuple(item.id for item in items),
        logits=average_logits(model, loader, len(items), device),
        labels=np.array([item.label for item in items], np.int64),
        classes=spec.classes,
        trained_on=tuple(sorted((*spec.split.train, *spec.split.validation))),
    )


def _load_weights(model: Normalized, weights: str) -> list[str]:
    network: Any = model.network
    if weights != "published":
        return load_published(network, read_state(weights))
    if not getattr(network, "published", None):
        raise UserError("nobody published weights of this model: name a file, or none")
    return load_published(network, fetch(network.published))


def _refuse_leakage(weights: str, index: VideoIndex, split: Split) -> None:
    learnt = learnt_from(Path(weights))
    try:
        check_leakage([item for item in index.items if item.id in learnt], index.select(split.test))
    except VideoIndexError as error:
        raise UserError(
            f"{weights} has learnt from videos that this run tests on ({error}): give both runs the "
            "same split"
        ) from None


def _say_nothing(_: object) -> None:
    pass
