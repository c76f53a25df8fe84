"""What the commands do and print; `cli.py` holds only their words."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flowcache import plugins
from flowcache.cache.entry import DamagedEntryError
from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.extraction.api import extract
from flowcache.extraction.many import find_videos

# Names of files may hold brackets, which are not markup.
_console = Console(highlight=False, markup=False)
_errors = Console(highlight=False, markup=False, stderr=True)


def run_extraction(videos: Path, cache_root: Path, **given: Any) -> bool:
    """Extract a folder, report; False where a video got no entry."""
    from twostream.commands.progress import ExtractionBar

    files, _ = find_videos(videos)
    with ExtractionBar(_console, len(files), sum(path.stat().st_size for path in files)) as bar:
        summary = extract(
            videos,
            cache_root,
            on_progress=bar.progressed,
            on_outcome=bar.finished,
            on_note=_console.print,
            **given,
        )
    speed = summary.fields / max(summary.seconds, 1e-9)
    _console.print(
        f"{summary.count('done')} videos done ({summary.fields} fields, {speed:.0f} a second), "
        f"{summary.count('kept')} kept from before, {len(summary.failures)} without an entry"
    )
    if summary.ignored:
        _console.print(
            f"{len(summary.ignored)} files are not named as videos and were ignored, the first is "
            f"{summary.ignored[0]}"
        )
    for outcome in summary.partial:
        _console.print(f"  partial: {outcome.job.name}: {outcome.reason}", soft_wrap=True)
    for outcome in summary.failures:
        _console.print(f"  {outcome.kind}: {outcome.job.name}: {outcome.reason}", soft_wrap=True)
    if summary.failures:
        _console.print(f"the list is in {cache_root / 'failures.csv'}")
    return not summary.failures


def show_cache(root: Path) -> bool:
    """A table of what a cache holds; False where an entry cannot be read."""
    cache = FlowCache.open(root)
    _console.print(f"{root}: {cache.recipe}")
    table = Table("class", title_justify="left")
    for name in ("videos", "fields", "bytes a field", "saturated"):
        table.add_column(name, justify="right")
    groups: dict[str, list[Any]] = {}
    damaged, partial = [], []
    for identifier, info in cache.infos():
        if isinstance(info, DamagedEntryError):
            damaged.append(str(info))
            continue
        size = cache.path(identifier).stat().st_size
        groups.setdefault(identifier.rpartition("/")[0] or ".", []).append((info, size))
        if info.partial:
            partial.append(f"{identifier}: {info.partial}")
    everything = [pair for pairs in groups.values() for pair in pairs]
    for name, pairs in [*sorted(groups.items()), ("all", everything)]:
        if not pairs:
            continue
        fields = sum(info.fields for info, _ in pairs)
        values = sum(info.fields * 2 * info.height * info.width for info, _ in pairs)
        saturated = sum(info.saturated for info, _ in pairs) / values
        size = sum(size for _, size in pairs) / fields
        table.add_row(
            name, f"{len(pairs)}", f"{fields}", f"{size:,.0f}", f"{100 * saturated:.3f} %"
        )
    _console.print(table)
    _console.print("bytes include the RGB frames")
    for line in partial:
        _console.print(f"  partial: {line}", soft_wrap=True)
    for line in damaged:
        _console.print(f"  damaged: {line}", soft_wrap=True)
    return not damaged


def verify_cache(root: Path, jobs: int) -> bool:
    """Check every entry; False where one is damaged."""
    cache = FlowCache.open(root)
    ids = cache.ids()
    damaged = 0
    for identifier, problem in cache.verify(jobs):
        if problem:
            damaged += 1
            _console.print(f"  damaged: {identifier}: {problem}", soft_wrap=True)
    if damaged:
        _console.print(
            f"{damaged} of {len(ids)} entries are damaged: delete them and extract again"
        )
    else:
        _console.print(f"all {len(ids)} entries are whole")
    return not damaged


def run_show(source: Path, output: Path, recipe: Recipe, frame: int | None) -> None:
    """Draw a video or an entry, with a bar while flow is computed."""
    from flowcache.show.render import show
    from twostream.commands.progress import FieldsBar

    with FieldsBar(_console) as bar:
        show(source, output, recipe, frame, on_progress=bar.progressed)
    _console.print(f"wrote {output}", soft_wrap=True)


def run_training(
    stream: str, cache: Path, runs: Path, given: Mapping[str, Any], explicit: set[str]
) -> None:
    """Train one stream and print its test accuracy."""
    from twostream.report.report import accuracy_table
    from twostream.runs.record import TrainOptions
    from twostream.stages import train_stream

    folder = runs / stream
    given = {**given, "crops": int(given["crops"])}
    scores = _run(train_stream, TrainOptions, stream, cache, folder, given, explicit)
    if scores is not None:
        _console.print(accuracy_table([scores], f"{len(scores)} test videos"))
        _console.print(f"checkpoints, metrics and scores are in {folder}")


def run_pretraining(
    stream: str, cache: Path, runs: Path, given: Mapping[str, Any], explicit: set[str]
) -> None:
    """Train one stream without labels, and say how to go on."""
    from twostream.runs.record import RunOptions
    from twostream.stages import pretrain_stream
    from twostream.training.fit import BEST

    folder = runs / "pretrained" / stream
    if _run(pretrain_stream, RunOptions, stream, cache, folder, given, explicit):
        _console.print(
            f"checkpoints and metrics are in {folder}: go on with train --weights {folder / BEST}",
            soft_wrap=True,
        )


def _run(
    learn: Callable[..., Any],
    kind: Any,
    stream: str,
    cache: Path,
    folder: Path,
    given: Mapping[str, Any],
    explicit: set[str],
) -> Any:
    """Start a run with the options that are given, of one kind, or resume it with those it had."""
    from twostream.runs.record import start_run

    opened = FlowCache.open(cache)
    if given["resume"]:
        if others := sorted(explicit - {"resume"}):
            raise UserError(
                f"--resume goes on with the options of {folder / 'run.json'}: leave out "
                f"--{others[0].replace('_', '-')}"
            )
        options = kind.recorded(folder)
    else:
        options = _options(kind, stream, given)
        start_run(folder, options, given["overwrite"])

    def say_epoch(row: Mapping[str, Any]) -> None:
        parts = [f"epoch {row['epoch']}/{options.schedule.epochs}"]
        for name in ("train_loss", "train_top1", "val_loss", "val_top1"):
            if name in row:
                word = (
                    name.replace("_", " ").replace("top1", "top-1").replace("val ", "validation ")
                )
                parts.append(f"{word} {row[name]:.3f}")
        _console.print("  ".join(parts), soft_wrap=True)

    return learn(
        opened,
        folder,
        options,
        resume=given["resume"],
        say=_console.print,
        on_epoch=say_epoch,
        progress_bar=_console.is_terminal,
    )


def _options(kind: Any, stream: str, given: Mapping[str, Any]) -> Any:
    from twostream import models
    from twostream.data.clips import ClipSpec
    from twostream.data.streams import STREAMS
    from twostream.runs.record import SplitOptions
    from twostream.training.fit import Schedule

    def text(name: str) -> str | None:
        return None if given[name] is None else str(given[name])

    def pick(*names: str) -> dict[str, Any]:
        return {name: given[name] for name in names if name in given}

    try:
        scales = tuple(float(word) for word in given["scales"].split(",") if word)
    except ValueError:
        raise UserError(
            f"scales {given['scales']}: write numbers as 1,0.875,0.75", "scales"
        ) from None
    if not all(0 < scale <= 1 for scale in scales):
        raise UserError(f"scales {given['scales']}: a share lies above 0 and up to 1", "scales")
    devices = given["devices"]
    card = plugins.module(models, given["model"]).CARD
    return kind(
        stream=stream,
        model=given["model"],
        options=plugins.parse_options(models, given["model"], given["options"]),
        clip=ClipSpec(
            length=given["length"] or card.length or STREAMS[stream].length,
            size=given["crop"] or card.size,
            scales=scales,
            **pick("stride", "flip", "subtract_mean"),
        ),
        schedule=Schedule(
            **pick(
                "epochs",
                "optimizer",
                "learning_rate",
                "weight_decay",
                "label_smoothing",
                "partial_bn",
                "seed",
            )
        ),
        split=SplitOptions(
            train_list=text("train_list"),
            test_list=text("test_list"),
            class_list=text("class_list"),
            hmdb51=text("hmdb51"),
            groups=text("groups"),
            **pick("split_number", "test_share", "validation_share", "skip_missing"),
        ),
        trainer={
            "devices": int(devices) if devices.lstrip("-").isdigit() else devices,
            **pick("accelerator", "num_nodes", "strategy", "precision"),
        },
        **pick("weights", "batch_size", "workers", "seed", "clips", "crops"),
    )


def run_evaluation(
    *,
    stream: str,
    cache: Path,
    runs: Path,
    clips: int,
    crops: str,
    workers: int,
) -> None:
    """Score a run's test videos again."""
    from twostream.report.report import accuracy_table
    from twostream.runs.checkpoint import load_checkpoint
    from twostream.stages import evaluate_run, items_to_test
    from twostream.training.fit import BEST

    opened, folder = FlowCache.open(cache), runs / stream
    _, spec = load_checkpoint(folder / BEST)
    items = items_to_test(opened, spec)
    scores = evaluate_run(
        opened,
        folder,
        items,
        clips=clips,
        crops=int(crops),
        workers=workers,
        say=_console.print,
    )
    _console.print(accuracy_table([scores], f"{len(scores)} test videos"))


def run_fusion(runs: Path, weights: Mapping[str, float], rule: str) -> None:
    """Fuse, and print each stream beside the fusion."""
    from twostream.report.report import accuracy_table
    from twostream.stages import fuse_runs

    results = fuse_runs(runs, weights, rule)
    _console.print(_shares(weights, rule))
    _console.print(accuracy_table(results, f"{len(results[0])} test videos, accuracy in %"))
    _console.print(f"scores and the confusion matrix are in {runs / 'fused'}")


def run_prediction(
    videos: Sequence[Path],
    *,
    weights: Mapping[str, float],
    on: str,
    runs: Path,
    clips: int,
    crops: str,
    as_json: bool,
) -> bool:
    """Predict each video; False where one could not be read."""
    from twostream.prediction.predict import Predictor
    from twostream.stages import check_weights
    from twostream.training.fit import BEST

    check_weights(weights)

    predictor = Predictor([runs / name / BEST for name in weights])
    for note in predictor.notes:
        _errors.print(note)
    results, failures = [], []
    for video in videos:
        try:
            prediction = predictor(video, weights=weights, rule=on, clips=clips, crops=int(crops))
        except UserError as error:
            failures.append({"video": str(video), "error": str(error)})
            continue
        results.append(prediction)
        if not as_json:
            table = Table(title=prediction.video, title_justify="left")
            for name in prediction.best:
                table.add_column(name)
            columns = (
                [f"{100 * p:5.1f} %  {c}" for c, p in best] for best in prediction.best.values()
            )
            for row in zip(*columns, strict=True):
                table.add_row(*row)
            _console.print(table)
    if as_json:
        plain = [
            {
                "video": p.video,
                **{n: [{"class": c, "probability": v} for c, v in b] for n, b in p.best.items()},
            }
            for p in results
        ]
        print(json.dumps([*plain, *failures], indent=2))
    else:
        _console.print(_shares(weights, on))
        for failure in failures:
            _console.print(f"  failed: {failure['error']}", soft_wrap=True)
    return not failures


def _shares(weights: Mapping[str, float], rule: str) -> str:
    total = sum(weights.values())
    shares = ", ".join(f"{name} {value / total:.3g}" for name, value in weights.items())
    return f"fused by {rule}, shares: {shares}"


def run_demo(folder: Path, run: Callable[[Sequence[str]], object]) -> None:
    """Render the demo's videos in `folder` and run the four commands there."""
    from twostream.demo import videos as demo

    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: name a folder that is new, or delete it")
    _console.print(f"rendering videos into {folder / 'videos'}")
    demo.render(folder / "videos")
    demo.contact_sheet(folder / "videos", folder / "videos.png")
    places = {"--cache": folder / "cache", "--runs": folder / "runs"}

    def call(words: str, *options: str) -> None:
        given = [*words.split(), *(w for o in options for w in (o, str(places[o])))]
        _console.print(f"\n$ twostream {' '.join(given)}", style="bold", soft_wrap=True)
        run(given)

    call(f"extract-flow {folder / 'videos'} --size {demo.SIZE}", "--cache")
    small = (
        f"--model tiny --crop {demo.CROP} --workers 0 --epochs {demo.EPOCHS} "
        f"--batch-size {demo.BATCH_SIZE} --learning-rate {demo.LEARNING_RATE} "
        f"--weight-decay {demo.WEIGHT_DECAY}"
    )
    call(f"train --stream spatial {small}", "--cache", "--runs")
    call(f"train --stream temporal {small}", "--cache", "--runs")
    call("fuse --weights 0.5", "--runs")
    _console.print(
        f"\nThe videos side by side: {folder / 'videos.png'}\n"
        f"What each stream confuses: {folder / 'runs' / 'fused' / 'confusion.png'}\n"
        "A frame shows the texture and not the movement, flow shows the movement and not the texture: "
        "each stream is right about one half of the label, and their sum about both.",
        soft_wrap=True,
    )
