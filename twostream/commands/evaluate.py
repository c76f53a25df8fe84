"""`twostream evaluate`: a run's videos, scored again."""

from pathlib import Path

import click

from twostream.commands._click_options import FOLDER, options_of
from twostream.commands._shared import (
    CACHE,
    JSON,
    VIEWS,
    example,
    notes,
    print_json,
    results,
)
from twostream.data.clip_spec import Crops
from twostream.runs.training_options import Average, TrainOptions


@click.command(
    epilog=example(
        "twostream evaluate --run runs/temporal --protocol tsn",
        "twostream evaluate --run runs/temporal --clips 25 --crops 10 --average softmax",
    )
)
@click.option("--run", type=FOLDER, required=True, help="Folder of the run.")
@CACHE
@VIEWS
@options_of(TrainOptions, "jobs", "accelerator")
@click.option(
    "--precision",
    show_default="that of the training",
    help="The precision of the arithmetic, as bf16-mixed.",
)
@JSON
def evaluate(
    run: Path,
    cache: Path,
    clips: int,
    crops: Crops,
    average: Average,
    jobs: int,
    accelerator: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Score a run's videos again.

    These are its test and validation videos, with other clips or from another cache.
    """
    from flowcache.cache.store import FlowCache
    from twostream import stages
    from twostream.commands._progress import Bar
    from twostream.report.tables import accuracies, accuracy_table

    with Bar(notes, "score", "clips") as bar:
        scores = stages.evaluate(
            FlowCache.open(cache),
            run,
            clips=clips,
            crops=crops,
            average=average,
            jobs=jobs,
            accelerator=accelerator,
            precision=precision,
            say=lambda text: notes.print(text, soft_wrap=True),
            on_clips=bar.progressed,
        )
    if as_json:
        print_json(accuracies(scores))
    else:
        results.print(accuracy_table([scores], f"{len(scores)} test videos, accuracy in %"))
