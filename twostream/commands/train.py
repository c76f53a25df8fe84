"""`twostream train`: one stream, from a cache to scores."""

from pathlib import Path
from typing import Any

import click

from twostream.commands._learning import learn, learning_options
from twostream.commands._shared import example, notes, results
from twostream.runs.training_options import TrainOptions


@click.command(
    epilog=example(
        "twostream train --stream temporal --model i3d --run runs/temporal-i3d",
        "twostream train --config runs/temporal/run.json --seed 1 --run runs/temporal-1",
    )
)
@learning_options(TrainOptions, "runs/STREAM")
def train(ctx: click.Context, /, stream: str, run: Path | None, **given: Any) -> None:
    """Train one stream and score its test videos.

    The epoch with the lowest validation loss is the one that counts, or the last; see --keep.
    """
    from twostream import stages
    from twostream.report.tables import accuracy_table

    folder = run or Path("runs", stream)
    scores = learn(ctx, TrainOptions, stages.train, folder, stream=stream, **given)
    if scores is not None:
        results.print(accuracy_table([scores], f"{len(scores)} test videos, accuracy in %"))
        notes.print(f"checkpoints, metrics and scores are in {folder}", soft_wrap=True)
