"""`twostream fuse`: the scores of runs, joined."""

from collections.abc import Sequence
from pathlib import Path

import click

from twostream.commands._click_options import FOLDER
from twostream.commands._shared import (
    JSON,
    RULE,
    RUNS,
    WEIGHTS,
    example,
    notes,
    print_json,
    results,
)


@click.command(
    epilog=example(
        "twostream fuse --weights 0.5",
        "twostream fuse runs/spatial runs/temporal runs/i3d --weights 1,1.5,1 --run runs/three",
    )
)
@click.argument("runs", type=FOLDER, nargs=-1, metavar="[RUN RUN…]")
@WEIGHTS
@RULE
@click.option(
    "--run",
    type=FOLDER,
    default=Path("runs/fused"),
    show_default=True,
    help="Folder for the result.",
)
@click.option(
    "--views",
    default="",
    metavar="CLIPSxCROPS[-softmax]",
    help="Fuse what `evaluate` gave with other clips and crops, as 25x10, or with another average.",
    show_default="the runs' own",
)
@JSON
def fuse(
    runs: Sequence[Path],
    weights: Sequence[float],
    rule: str,
    run: Path,
    views: str,
    as_json: bool,
) -> None:
    """Fuse the scores of two runs or more.

    Without names these are runs/spatial and runs/temporal.
    """
    from twostream import stages
    from twostream.fusion import shares_of
    from twostream.report.tables import accuracies, accuracy_table

    runs = runs or RUNS
    scores = stages.fuse(runs, weights, rule, run, views)
    if as_json:
        print_json({one.name: accuracies(one) for one in scores})
        return
    shares = shares_of([folder.name for folder in runs], weights)
    listed = ", ".join(f"{name} {share:.3g}" for name, share in shares.items())
    notes.print(f"fused by {rule}, shares: {listed}")
    results.print(accuracy_table(scores, f"{len(scores[0])} test videos, accuracy in %"))
    notes.print(f"scores and the confusion matrix are in {run}", soft_wrap=True)
