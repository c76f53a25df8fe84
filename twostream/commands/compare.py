"""`twostream compare`: whether one run is better than another."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowcache.errors import UserError
from twostream.commands._shared import JSON, example, print_json, results

if TYPE_CHECKING:
    from twostream.scoring.scores import Scores


@click.command(
    epilog=example(
        "twostream compare runs/temporal runs/spatial",
        "twostream compare runs/flow-1 runs/flow-2 --with runs/rgb-1 --with runs/rgb-2",
        "twostream compare runs/temporal/scores-25x10.npz runs/temporal --json",
    )
)
@click.argument(
    "runs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RUN [RUN…]"
)
@click.option(
    "--with",
    "others",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="RUN",
    help="A run to compare with, once for each seed; by default it is the second of two runs.",
)
@JSON
def compare(runs: Sequence[Path], others: Sequence[Path], as_json: bool) -> None:
    """Tell whether one run is better than another.

    Both have scored the same videos. A run is its folder or a file of scores in it. Of runs that differ
    in their seed name all: the results for each video are averaged.
    """
    from twostream.report.comparison import comparison_table, comparisons

    if not others:
        if len(runs) != 2:
            raise UserError(
                f"it is not said what {runs[0]} is compared with: name two runs, or the others apart",
                "others",
            )
        runs, others = runs[:1], runs[1:]
    one, other = [_scores_of(run) for run in runs], [_scores_of(run) for run in others]
    if as_json:
        print_json(comparisons(one, other))
    else:
        results.print(comparison_table(one, other))


def _scores_of(run: Path) -> "Scores":
    """The scores of a run's test videos, or those of a file, under the name that the user gave."""
    from twostream.runs import files
    from twostream.scoring.scores import Scores

    path = run / files.SCORES if run.is_dir() or not run.suffix else run
    return replace(Scores.load(path), name=str(run))
