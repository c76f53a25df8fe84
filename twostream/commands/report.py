"""`twostream report`: runs and their fusion as one page, or as data for other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twostream.commands._click_options import FOLDER, refuse_given
from twostream.commands._shared import (
    CACHE,
    RULE,
    RUNS,
    SCORED_VIEWS,
    WEIGHTS,
    example,
    notes,
    results,
)

if TYPE_CHECKING:
    from twostream.fusion import Weights


_IDLE = {"html": ("videos",), "rerun": ("videos", "explain"), "fiftyone": ("strips", "explain")}
"""The options that would change nothing, by the form."""


@click.command(
    epilog=example(
        "twostream report",
        "twostream report runs/spatial runs/temporal --weights fit --explain -o fused.html",
        "twostream report runs/i3d --cache cache -o i3d.html",
        "twostream report --to rerun -o report.rrd",
        "twostream report --to fiftyone --videos videos -o my-videos",
    )
)
@click.argument("runs", type=FOLDER, nargs=-1, metavar="[RUN…]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=None,
    show_default="report.html, report.rrd or twostream",
    help="The file to write; of FiftyOne the name of the data set.",
)
@click.option(
    "--to",
    type=click.Choice(["html", "rerun", "fiftyone"]),
    default="html",
    show_default=True,
    help="A page; or data for Rerun or FiftyOne, which the extras [rerun] and [fiftyone] bring.",
)
@WEIGHTS
@RULE
@SCORED_VIEWS
@CACHE
@click.option(
    "--strips",
    type=click.IntRange(0),
    default=8,
    show_default=True,
    help="Of how many videos of each kind frames and flow are shown.",
)
@click.option(
    "--explain", is_flag=True, help="Show also what spoke for the class that a run names."
)
@click.option(
    "--videos", type=FOLDER, default=None, help="The folder of the videos; for FiftyOne alone."
)
@click.pass_context
def report(
    ctx: click.Context,
    /,
    runs: Sequence[Path],
    output: Path | None,
    to: str,
    weights: "Weights",
    rule: str,
    views: str,
    cache: Path,
    strips: int,
    explain: bool,
    videos: Path | None,
) -> None:
    """Show runs and their fusion on one page, which needs no other file.

    Without names these are runs/spatial and runs/temporal. A single run is shown alone. The page has
    accuracies with intervals, what the fusion gains, confusion, learning curves, reliability, and the
    videos that the fusion rescued and lost. Of two runs a slider fuses anew with another weight.
    """
    from twostream.commands._progress import Bar
    from twostream.html_report.write import write_report

    refuse_given(ctx, _IDLE[to], f"the form {to} has no use for it: leave it out")
    with Bar(notes, "pictures", "videos") as bar:
        told = write_report(
            runs or RUNS,
            output,
            to=to,
            weights=weights,
            rule=rule,
            views=views,
            cache=cache,
            strips=strips,
            explain=explain,
            videos=videos,
            say=lambda line: notes.print(line, soft_wrap=True),
            on_video=bar.progressed,
        )
    results.print(told, soft_wrap=True)
