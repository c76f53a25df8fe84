"""`twostream report`: runs and their fusion as one page, or as data for other programs."""

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

_OUTPUTS = {"html": "report.html", "rerun": "report.rrd", "fiftyone": "twostream"}
"""The forms of a report, and what each writes where nothing else is named."""


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
    show_default=", ".join(_OUTPUTS.values()),
    help="The file to write; of FiftyOne the name of the data set.",
)
@click.option(
    "--to",
    type=click.Choice(list(_OUTPUTS)),
    default="html",
    show_default=True,
    help="A page; or data for Rerun or FiftyOne, which the extras [rerun] and [fiftyone] bring.",
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
@click.option(
    "--explain", is_flag=True, help="Show also what spoke for the class that a run names."
)
@click.option(
    "--videos", type=FOLDER, default=None, help="The folder of the videos; for FiftyOne alone."
)
def report(
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
    from flowcache.errors import UserError
    from twostream.commands._progress import Bar
    from twostream.html_report.content import read_content
    from twostream.html_report.page import check_output, write_page
    from twostream.html_report.pictures import chosen_ids, here, open_cache, read_pictures
    from twostream.html_report.score_curves import networks_of
    from twostream.html_report.to_fiftyone import write_dataset
    from twostream.html_report.to_rerun import write_rrd

    def say(line: str) -> None:
        notes.print(line, soft_wrap=True)

    folders, path = list(runs or RUNS), output or Path(_OUTPUTS[to])
    if to == "fiftyone":
        if videos is None:
            raise UserError("FiftyOne shows the videos themselves: name their folder", "videos")
        content = read_content(folders, weights, rule, views)
        count = write_dataset(str(path), content, videos)
        results.print(f"the data set {path} has {count} videos", soft_wrap=True)
        return
    check_output(path)
    content = read_content(folders, weights, rule, views)
    wanted = chosen_ids(content, strips)
    opened = open_cache(cache, say) if wanted else None
    ids = here(opened, wanted, say) if opened else []
    networks = networks_of(folders, opened) if opened and ids and (explain or to == "rerun") else {}
    with Bar(notes, "pictures", "videos") as bar:
        if to == "rerun":
            if opened is None:
                raise UserError("Rerun shows frames and flow: name a cache that has them", "cache")
            write_rrd(path, content, opened, ids, networks, bar.progressed)
        else:
            pictures = read_pictures(opened, ids, networks, bar.progressed) if opened else {}
            write_page(path, content, pictures)
    results.print(f"{path}, {path.stat().st_size / 1e6:.1f} MB", soft_wrap=True)
