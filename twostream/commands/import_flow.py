"""`twostream import-flow`: from flow that other programs computed to a cache."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowcache.cache.recipe import Recipe
from flowcache.errors import printable
from twostream.commands._cache_work import (
    JPEG_QUALITY,
    SCHEDULER,
    TIMEOUT,
    jobs_option,
    resumable,
)
from twostream.commands._click_options import FOLDER
from twostream.commands._shared import (
    CACHE,
    example,
    notes,
    print_lines,
    results,
)

if TYPE_CHECKING:
    from flowcache.extraction.outcome import Summary


@click.command(
    "import-flow",
    epilog=example(
        "twostream import-flow flow/ --videos videos/ --bound 20 --origin 'TV-L1 of denseflow'",
        "twostream import-flow flow/ --no-frames --cache imported",
    ),
)
@click.argument("folder", type=FOLDER)
@CACHE
@click.option(
    "--videos",
    type=FOLDER,
    help="The videos that the flow was computed from, whose frames are kept beside it.",
)
@click.option(
    "--no-frames",
    is_flag=True,
    help="Keep no frames and need no videos; only the temporal stream can be trained then.",
)
@click.option(
    "--format",
    "format_name",
    default="auto",
    show_default=True,
    help="flo, h5 (denseflow's), jpeg, kitti (PNG of 16 bits), npy, npz or png; auto: what is there.",
)
@click.option(
    "--bound",
    type=float,
    show_default="20; of pictures it must be given",
    help="Displacement that is white in pictures of 8 bits; of other formats the largest kept; px.",
)
@click.option(
    "--quantizer-step",
    type=float,
    show_default="bound / 255 of pictures, which is exact; bound / 127",
    help="Distance between stored values, px.",
)
@click.option(
    "--step",
    "frame_step",
    type=int,
    default=Recipe.frame_step,
    show_default=True,
    help="Flow is from each frame t to frame t + step.",
)
@click.option(
    "--origin", default="", metavar="WORDS", help="What computed the flow, which is recorded."
)
@click.option(
    "--unknown",
    type=click.Choice(["refused", "zero"]),
    default="refused",
    show_default=True,
    help="What displacements count as that the files call unknown.",
)
@JPEG_QUALITY
@jobs_option("Videos")
@TIMEOUT
@SCHEDULER
def import_flow(folder: Path, cache: Path, no_frames: bool, **given: Any) -> None:
    """Take over the flow under FOLDER, which other programs computed.

    What is done already is kept, so it is safe to stop this and start it again.
    """
    from flowcache.exchange.import_many import import_flow as import_folder
    from twostream.commands._progress import Bar

    with (
        resumable(lambda: "what has its entry is kept"),
        Bar(notes, "import", "videos") as bar,
    ):
        summary = import_folder(
            folder,
            cache,
            frames=not no_frames,
            on_progress=bar.progressed,
            on_note=lambda note: notes.print(note, soft_wrap=True),
            **given,
        )
    results.print(f"{summary}")
    print_lines(_remarks(summary, folder), notes)
    print_lines((f"  {o.kind}: {o.job.name}: {o.reason}" for o in summary.failures), results)
    if summary.failures:
        results.print(f"the list is in {printable(cache / 'failures.csv')}", soft_wrap=True)
        sys.exit(1)


def _remarks(summary: "Summary", folder: Path) -> Iterator[str]:
    """What is no failure and may still surprise, each with its first case."""
    if ignored := summary.ignored:
        yield f"{len(ignored)} files are no flow and were ignored, the first is {printable(ignored[0])}"
    if beyond := summary.saturated:
        yield (
            f"{len(beyond)} videos have displacements beyond the bound, which were cut off there: "
            f"{100 * beyond[0].saturated:.3g} % of {beyond[0].job.name}; give a larger bound and another "
            "cache to keep them"
        )
    if damaged := summary.damaged:
        yield f"{len(damaged)} damaged entries were made again, the first was {damaged[0].damaged}"
    if ids := summary.without_video:
        yield (
            f"{len(ids)} entries of the cache have no flow in {printable(folder)}, the first is "
            f"{ids[0]}: delete them if the flow is gone, or they are trained on"
        )
