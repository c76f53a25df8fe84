"""`twostream predict`: what is done in new videos."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twostream.commands._click_options import RUN
from twostream.commands._shared import (
    JSON,
    RULE,
    RUNS,
    VIEWS,
    WEIGHTS,
    errors,
    example,
    notes,
    print_json,
    print_lines,
    results,
)
from twostream.runs.training_options import Average

if TYPE_CHECKING:
    from twostream.fusion import Weights


@click.command(
    epilog=example(
        "twostream predict clip.mp4 --weights 0.5",
        "twostream predict *.mp4 --run runs/temporal --json",
    )
)
@click.argument("videos", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--run",
    type=RUN,
    multiple=True,
    default=RUNS,
    show_default=" ".join(map(str, RUNS)),
    help="A run, or a network that was exported from one, once for each; several are fused.",
)
@WEIGHTS
@RULE
@VIEWS
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes listed.")
@JSON
def predict(
    videos: Sequence[Path],
    run: Sequence[Path],
    weights: "Weights",
    rule: str,
    clips: int,
    crops: int,
    average: Average,
    top: int,
    as_json: bool,
) -> None:
    """Name the action in new videos.

    Each run says its best classes, and so does the fusion of several.
    """
    from flowcache.errors import UserError
    from twostream.commands._progress import Bar
    from twostream.prediction.predict import Predictor

    predictor = Predictor(run)
    if len(run) > 1:
        # So that what cannot be fused is refused before the first video.
        predictor.rule(rule, weights)
    print_lines(predictor.notes, errors)
    predictions, failures = [], []
    with Bar(notes, "predict", "videos") as bar:
        for number, video in enumerate(videos, 1):
            try:
                prediction = predictor(
                    video,
                    weights=weights,
                    rule=rule,
                    clips=clips,
                    crops=crops,
                    average=average,
                    top=top,
                )
            except UserError as error:
                failures.append({"video": str(video), "error": str(error)})
            else:
                predictions.append(prediction)
                if not as_json:
                    results.print(_table(prediction))
            bar.progressed(number, len(videos))
    if as_json:
        print_json([*map(_plain, predictions), *failures])
    else:
        print_lines((f"  failed: {failure['error']}" for failure in failures), errors)
    if failures:
        sys.exit(1)


def _table(prediction: Any) -> Any:
    """A column for each run and for the fusion, the best class first."""
    from rich.table import Table

    table = Table(title=prediction.video, title_justify="left")
    for name in prediction.best:
        table.add_column(name)
    columns = ([f"{100 * p:5.1f} %  {c}" for c, p in best] for best in prediction.best.values())
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def _plain(prediction: Any) -> dict[str, Any]:
    best = {
        name: [{"class": label, "probability": probability} for label, probability in classes]
        for name, classes in prediction.best.items()
    }
    return {"video": prediction.video, **best}
