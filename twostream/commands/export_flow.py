"""`twostream export-flow`: the flow of a cache as other programs' files."""

from pathlib import Path

import click

from twostream.commands._cache_work import jobs_option, terminable
from twostream.commands._click_options import FOLDER, refuse_given
from twostream.commands._shared import example, notes, results


@click.command(
    "export-flow",
    epilog=example(
        "twostream export-flow cache -o flow --format flo",
        "twostream export-flow cache -o pictures --format jpeg --bound 20",
    ),
)
@click.argument("cache", type=FOLDER)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder to write, which must not be there yet.",
)
@click.option(
    "--format",
    "format_name",
    required=True,
    help="flo, h5 (denseflow's), jpeg, kitti (PNG of 16 bits), npy, npz or png.",
)
@click.option(
    "--bound",
    type=float,
    show_default="the cache's",
    help="Displacement that is white in a picture of 8 bits, px.",
)
@click.option(
    "--jpeg-quality",
    type=int,
    default=95,
    show_default=True,
    help="JPEG quality of pictures, 1 to 100.",
)
@jobs_option("Entries")
@click.pass_context
def export_flow(
    ctx: click.Context,
    /,
    cache: Path,
    output: Path,
    format_name: str,
    bound: float | None,
    jpeg_quality: int,
    jobs: int,
) -> None:
    """Write the flow of CACHE as files that other programs read.

    Each entry becomes a file, or a folder of files, whose path is its id.
    """
    from flowcache.exchange.contract import format_named
    from flowcache.exchange.export import export_flow as export
    from twostream.commands._progress import Bar

    if not format_named(format_name).NEEDS_BOUND:
        refuse_given(
            ctx, ("bound", "jpeg_quality"), "it is for pictures of 8 bits (jpeg, png): leave it out"
        )
    with terminable(), Bar(notes, "export", "entries") as bar:
        fields = export(
            cache,
            output,
            format_name=format_name,
            bound=bound,
            jpeg_quality=jpeg_quality,
            jobs=jobs,
            on_progress=bar.progressed,
        )
    results.print(f"wrote {fields} fields to {output}", soft_wrap=True)
