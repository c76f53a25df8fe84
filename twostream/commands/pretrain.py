"""`twostream pretrain`: one stream, without labels."""

from pathlib import Path
from typing import Any

import click

from twostream.commands._learning import learn, learning_options
from twostream.commands._shared import example, notes
from twostream.runs.training_options import PretrainOptions


@click.command(
    epilog=example(
        "twostream pretrain --stream temporal",
        "twostream train --stream temporal --model videomae --init "
        "runs/pretrained/temporal/best.ckpt",
    )
)
@learning_options(PretrainOptions, "runs/pretrained/STREAM")
def pretrain(ctx: click.Context, /, stream: str, run: Path | None, **given: Any) -> None:
    """Pretrain one stream without labels.

    It learns from the videos that `train` would train on, and never from its test videos.
    """
    from twostream import stages
    from twostream.runs.files import BEST

    folder = run or Path("runs", "pretrained", stream)
    if learn(ctx, PretrainOptions, stages.pretrain, folder, stream=stream, **given):
        notes.print(
            f"checkpoints and metrics are in {folder}: go on with train --init {folder / BEST}",
            soft_wrap=True,
        )
