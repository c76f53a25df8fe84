"""`twostream predict`: what is done in new videos."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowcache import plugins
from flowcache.atomic import require_writable
from flowcache.errors import UserError, printable
from twostream.commands._click_options import given_by_user, options_of
from twostream.commands._shared import (
    JSON,
    NETWORKS,
    RULE,
    VIEWS,
    WEIGHTS,
    errors,
    example,
    notes,
    print_json,
    print_lines,
    refuse_fusion_of_one,
    results,
)
from twostream.explanation import methods
from twostream.runs.training_options import Average
from twostream.timeline.options import TimelineOptions

if TYPE_CHECKING:
    from twostream.fusion import Weights
    from twostream.prediction.videos import Failure

_OF_TIMELINE = ("hop", "window", "min_length", "threshold")


@click.command(
    epilog=example(
        "twostream predict clip.mp4 --weights 0.5",
        "twostream predict videos/ --run runs/temporal --csv predictions.csv",
        "twostream predict match.mp4 --timeline --rule log_linear",
        "twostream predict clip.mp4 --explain strip.png",
        "twostream predict match.mp4 --overlay shown.mp4",
    )
)
@click.argument("videos", type=click.Path(path_type=Path), nargs=-1, required=True)
@NETWORKS
@WEIGHTS
@RULE
@VIEWS
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes listed.")
@click.option("--timeline", is_flag=True, help="Say what is done when, in segments of long videos.")
@options_of(TimelineOptions)
@click.option(
    "--explain",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Show where in the frames and in the flow each run saw its best class: a strip (.png), a video "
    "(.mp4), or a folder of strips.",
)
@click.option(
    "--method",
    type=click.Choice([methods.AUTO, *plugins.names(methods)]),
    default=methods.AUTO,
    show_default="attention_rollout for transformers, hires_cam for convolutions, else rise",
    help="How that is found.",
)
@click.option(
    "--overlay",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one video with its flow, labels and timeline drawn in, as .mp4 or .avi.",
)
@click.option(
    "--csv",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a table of all videos into this file.",
)
@JSON
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    videos: Sequence[Path],
    run: Sequence[Path],
    weights: "Weights",
    rule: str,
    clips: int,
    crops: int,
    average: Average,
    top: int,
    timeline: bool,
    explain: Path | None,
    method: str,
    overlay: Path | None,
    csv: Path | None,
    as_json: bool,
    **of_timeline: Any,
) -> None:
    """Name the action in new videos, files or all that folders hold.

    Each run says its best classes, and so does the fusion of several.
    """
    from twostream.commands._answers import best_classes, explained, timelines
    from twostream.explanation.of_videos import outputs_for
    from twostream.prediction.predict import Predictor
    from twostream.prediction.videos import videos_at

    timeline |= overlay is not None
    _refuse_idle_options(ctx, timeline, explain)
    refuse_fusion_of_one(ctx, run)
    if csv:
        if not csv.absolute().parent.is_dir():
            raise UserError(
                f"there is no folder {csv.parent}: make it, or name another file", "csv"
            )
        require_writable(csv, "csv")
    predictor = Predictor(run)
    if len(run) > 1:
        # So that what cannot be fused is refused before the first video.
        predictor.rule(rule, weights)
    print_lines(predictor.notes, errors)
    how: dict[str, Any] = {
        "weights": weights,
        "rule": rule,
        "crops": crops,
        "average": average,
    }
    found, failures = videos_at(videos)
    if timeline:
        answers = timelines(predictor, TimelineOptions(**of_timeline), **how)
    elif explain:
        outputs = outputs_for(found, explain)
        answers = explained(predictor, outputs, method, clips=clips, top=top, **how)
    else:
        answers = best_classes(predictor, clips=clips, top=top, **how)
    if overlay:
        _require_one_video(overlay, found)
    predictions: list[Any] = []
    try:
        for prediction in _each(answers.of_video, found, failures):
            predictions.append(prediction)
            if not as_json:
                results.print(answers.table(prediction))
    finally:  # also of Ctrl-C: what is done is kept
        if csv:
            _write_csv(csv, answers.header, predictions, failures)
    if as_json:
        lost = [{"video": printable(path), "error": why} for path, why in failures]
        print_json([*(each.to_plain() for each in predictions), *lost])
    broken = [each.partial for each in predictions if timeline and each.partial]
    print_lines((f"  partial: {why}" for why in broken), errors)
    print_lines((f"  failed: {why}" for _, why in failures), errors)
    if overlay and predictions:
        _write_overlay(overlay, predictions[0], predictor)
    if failures or broken:
        sys.exit(1)


def _each(
    of_video: Callable[..., Any], videos: Sequence[Path], failures: list["Failure"]
) -> Iterator[Any]:
    """The answer for each video; what fails is added to the failures."""
    from twostream.commands._progress import Bar

    with Bar(notes, "predict", "videos") as bar:
        for number, video in enumerate(videos):
            done = partial(bar.progressed, number, len(videos))
            try:
                prediction = of_video(video=video, on_share=done)
            except UserError as error:
                failures.append((video, str(error)))
            else:
                yield prediction
            bar.progressed(number + 1, len(videos))


def _write_csv(
    path: Path, header: Sequence[str], predictions: Sequence[Any], failures: Sequence["Failure"]
) -> None:
    """All predictions, and a row with the reason for each video of which nothing came."""
    from flowcache.atomic import write_csv

    blank = [""] * (len(header) - 2)
    rows = [row for prediction in predictions for row in prediction.rows()]
    write_csv(path, [header, *rows, *([printable(path), *blank, why] for path, why in failures)])


def _require_one_video(overlay: Path, videos: Sequence[Path]) -> None:
    """UserError unless there is one, and an overlay of it can be written, before anything is computed."""
    from twostream.timeline.overlay import require_overlay

    if len(videos) != 1:
        raise UserError(
            f"an overlay is of one video, and here are {len(videos)}: name one", "overlay"
        )
    require_overlay(overlay, videos[0])


def _write_overlay(overlay: Path, timeline: Any, predictor: Any) -> None:
    from twostream.commands._progress import Bar
    from twostream.timeline.overlay import write_overlay

    with Bar(notes, "overlay", "videos") as bar:
        write_overlay(timeline, overlay, predictor, partial(bar.progressed, 0, 1))
    notes.print(f"wrote {overlay}", soft_wrap=True)


def _refuse_idle_options(ctx: click.Context, timeline: bool, explain: Path | None) -> None:
    """UserError for an option that would change nothing."""
    if timeline:
        told = click.core.ParameterSource.COMMANDLINE
        idle = [
            name for name in ("clips", "top", "explain") if ctx.get_parameter_source(name) is told
        ]
        advice = "a timeline has no use for it: leave it out"
    else:
        idle = given_by_user(ctx, _OF_TIMELINE)
        advice = "it is for timelines: add --timeline or --overlay"
    if not explain and not idle:
        idle, advice = given_by_user(ctx, ("method",)), "it is for explanations: add --explain FILE"
    if idle:
        raise UserError(advice, idle[0])
