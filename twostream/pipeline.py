"""The stages joined: cache → split → network → checkpoint → scores. Each works on files."""

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import lightning
import numpy as np
import torch

from flowcache import plugins
from flowcache.atomic import atomic_path
from flowcache.store import FlowCache
from flowcache.types import FlowCacheError
from twostream import fusion
from twostream.checkpoint import Spec, add_spec, first_epoch_after, load_checkpoint
from twostream.data import ClipData, ClipSpec, TestClips, make_loader
from twostream.evaluate import average_logits
from twostream.index import Item, VideoIndex, read_index
from twostream.lists import read_class_list, read_hmdb51, read_list
from twostream.network import Normalized
from twostream.report import write_confusion_csv, write_confusion_png, write_predictions
from twostream.scores import Scores, align
from twostream.splits import Split, make_split, write_split
from twostream.train import BEST, LAST, METRICS, Row, Schedule, Training, fit
from twostream.weights import fetch, load_published, read_state

SCORES = "scores.npz"
_PREDICTIONS, _SPLIT = "predictions.csv", "split.csv"
_RUN = "run.json"
Say = Callable[[str], None]
FusionRule = Callable[[Sequence[Scores]], Scores]


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Where the split comes from; see `splits.make_split` and `lists`."""

    train_list: str | None = None
    test_list: str | None = None
    class_list: str | None = None
    hmdb51: str | None = None
    split_number: int = 1
    groups: str | None = None
    test_share: float = 0.3
    validation_share: float = 0.2
    skip_missing: bool = False

    def carry_out(self, cache: FlowCache, seed: int) -> tuple[VideoIndex, Split]:
        """Index the cache and divide it."""
        classes = read_class_list(Path(self.class_list)) if self.class_list else None
        index = read_index(cache, Path(self.groups) if self.groups else None, classes)
        train: Sequence[str] | None = None
        test: Sequence[str] | None = None
        if self.hmdb51:
            train, test = read_hmdb51(
                Path(self.hmdb51), self.split_number, index, self.skip_missing
            )
        if self.train_list:
            train = read_list(Path(self.train_list), index, self.skip_missing)
        if self.test_list:
            test = read_list(Path(self.test_list), index, self.skip_missing)
        split = make_split(
            index,
            seed=seed,
            test_share=self.test_share,
            validation_share=self.validation_share,
            train=train,
            test=test,
        )
        return index, split


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """One training run, as `run.json` records it.

    options: of the model. weights: a file, or "published". trainer: Lightning's own options.
    """

    stream: str
    model: str
    options: Mapping[str, Any]
    clip: ClipSpec
    schedule: Schedule
    split: SplitOptions = field(default_factory=SplitOptions)
    weights: str | None = None
    batch_size: int = 32
    workers: int = 2
    seed: int = 0
    clips: int = 10
    crops: int = 1
    trainer: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `asdict`'s result, as JSON returns it."""
        return cls(
            **{
                **plain,
                "clip": ClipSpec.from_plain(plain["clip"]),
                "schedule": Schedule(**plain["schedule"]),
                "split": SplitOptions(**plain["split"]),
            }
        )


def start_run(folder: Path, options: TrainOptions, overwrite: bool) -> None:
    """Claim a run's folder and record its options and versions. FlowCacheError where it is taken."""
    if not _is_first_process():
        return
    if (folder / LAST).exists() and not overwrite:
        raise FlowCacheError(
            f"{folder} holds a trained network: go on with --resume, replace it with --overwrite, or "
            "name another folder with --runs"
        )
    for name in (BEST, LAST, METRICS, SCORES, _PREDICTIONS, _SPLIT):
        (folder / name).unlink(missing_ok=True)
    record = {"options": asdict(options), "versions": _versions()}
    with atomic_path(folder / _RUN) as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def recorded_options(folder: Path) -> TrainOptions:
    """The options of a run to be resumed. FlowCacheError where there is none."""
    try:
        record = json.loads((folder / _RUN).read_text(encoding="utf-8"))
        return TrainOptions.from_plain(record["options"])
    except FileNotFoundError:
        raise FlowCacheError(f"{folder} holds no run to resume: train without --resume") from None
    except (KeyError, TypeError, ValueError) as error:
        raise FlowCacheError(f"{folder / _RUN} cannot be read: {error}") from None


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
    if not _is_first_process():
        say = on_epoch = _say_nothing
    index, split = options.split.carry_out(cache, options.seed)
    resume = resume and (folder / LAST).exists()
    if index.partial:
        say(f"{len(index.partial)} videos are known only in part, the first is {index.partial[0]}")
    if all(item.group == item.id for item in index.items):
        say("no groups: each video counts as one (name related videos with --groups)")
    spec = Spec(
        stream=options.stream,
        model=options.model,
        options=options.options,
        classes=index.classes,
        clip=options.clip,
        recipe=cache.recipe,
        split=split,
    )
    if _is_first_process():
        write_split(folder / _SPLIT, index, split)
    say(
        f"{len(split.train)} videos train, {len(split.validation)} choose the best epoch, "
        f"{len(split.test)} test; {len(index.classes)} classes"
    )
    lightning.seed_everything(options.seed, verbose=False)
    model = spec.build()
    if options.weights and not resume:
        for note in _load_weights(model, options.weights):
            say(f"weights: {note}")
    parameters = sum(p.numel() for p in model.parameters())
    say(f"{options.model}, {parameters:,} parameters, {options.schedule.epochs} epochs")
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
    trainer = fit(
        Training(
            model, len(index.classes), options.schedule, lambda content: add_spec(content, spec)
        ),
        data,
        folder,
        epochs=options.schedule.epochs,
        validated=bool(split.validation),
        resume=resume,
        on_epoch=on_epoch,
        progress_bar=progress_bar,
        **options.trainer,
    )
    if not trainer.is_global_zero:
        return None
    return evaluate_run(
        cache,
        folder,
        index.select(split.test),
        clips=options.clips,
        crops=options.crops,
        batch_size=options.batch_size,
        workers=options.workers,
        say=say,
    )


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
    write_predictions(folder / _PREDICTIONS, scores)
    return scores


def items_to_test(cache: FlowCache, spec: Spec) -> tuple[Item, ...]:
    """The test videos of a checkpoint's split, as they lie in a cache. FlowCacheError where one lacks."""
    index = read_index(cache, None, spec.classes)
    here = {item.id for item in index.items}
    if missing := [i for i in spec.split.test if i not in here]:
        raise FlowCacheError(
            f"{len(missing)} of the {len(spec.split.test)} test videos are not in {cache.root}, the "
            f"first is {missing[0]}: name the cache that was trained on with --cache"
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
    write_predictions(folder / _PREDICTIONS, fused)
    write_confusion_csv(folder / "confusion.csv", fused)
    write_confusion_png(folder / "confusion.png", [*streams, fused])
    return [*streams, fused]


def check_weights(weights: Mapping[str, float]) -> None:
    """FlowCacheError unless these make a weighted mean of two streams or more."""
    values = list(weights.values())
    if len(values) < 2 or not all(0 <= v < np.inf for v in values) or sum(values) == 0:
        raise FlowCacheError(
            "--weights must be two or more numbers, none below 0, not all 0 and none infinite"
        )


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
        raise FlowCacheError("nobody published weights of this model: name a file, or none")
    return load_published(network, fetch(network.published))


def _say_nothing(_: object) -> None:
    pass


def _is_first_process() -> bool:
    """In a distributed run the trainer starts this program once more for each further device."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def _versions() -> dict[str, str]:
    names = (
        "twostream",
        "torch",
        "lightning",
        "numpy",
        "h5py",
        "av",
        "opencv-contrib-python-headless",
    )
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
