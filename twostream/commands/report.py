"""`twostream report`: runs and their fusion as one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twostream.commands._click_options import FOLDER
from twostream.commands._shared import (
    CACHE,
    RULE,
    RUNS,
    WEIGHTS,
    example,
    notes,
    results,
)

if TYPE_CHECKING:
    from twostream.fusion import Weights


@click.command(
    epilog=example(
        "twostream report",
        "twostream report runs/spatial runs/temporal --weights fit -o fused.html",
        "twostream report runs/i3d -o i3d.html --cache cache",
    )
)
@click.argument("runs", type=FOLDER, nargs=-1, metavar="[RUN…]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file to write.",
)
@WEIGHTS
@RULE
@click.option(
    "--views",
    default="",
    metavar="CLIPSxCROPS[-softmax]",
    help="Report on what `evaluate` gave with other clips and crops, as 25x10, or with another average.",
    show_default="the runs' own",
)
@CACHE
@click.option(
    "--strips",
    type=click.IntRange(0),
    default=8,
    show_default=True,
    help="Of how many videos of each kind frames and flow are shown.",
)
def report(
    runs: Sequence[Path],
    output: Path,
    weights: "Weights",
    rule: str,
    views: str,
    cache: Path,
    strips: int,
) -> None:
    """Show runs and their fusion on one page, which needs no other file.

    Without names these are runs/spatial and runs/temporal. A single run is shown alone. The page has
    accuracies with intervals, what the fusion gains, confusion, learning curves, reliability, and the
    videos that the fusion rescued and lost. Of two runs a slider fuses anew with another weight.
    """
    from twostream.commands._progress import Bar
    from twostream.html_report.content import read_content
    from twostream.html_report.page import check_output, write_page
    from twostream.html_report.pictures import read_pictures

    check_output(output)
    content = read_content(runs or RUNS, weights, rule, views)
    with Bar(notes, "pictures", "videos") as bar:
        pictures = read_pictures(
            content,
            cache,
            strips,
            say=lambda line: notes.print(line, soft_wrap=True),
            on_video=bar.progressed,
        )
    write_page(output, content, pictures)
    results.print(f"{output}, {output.stat().st_size / 1e6:.1f} MB", soft_wrap=True)
