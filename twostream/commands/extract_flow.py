"""`twostream extract-flow`: from a folder of videos to a cache."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from flowcache.cache.recipe import Recipe
from twostream.commands._click_options import FOLDER
from twostream.commands._shared import (
    CACHE,
    Jobs,
    example,
    notes,
    plugin_option,
    print_lines,
    results,
)


@click.command(
    "extract-flow",
    epilog=example(
        "twostream extract-flow videos/",
        "twostream extract-flow videos/ --algorithm tvl1 --option profile=fast --size 340x256",
    ),
)
@click.argument("videos", type=FOLDER)
@CACHE
@click.option(
    "--algorithm",
    default="tvl1",
    show_default=True,
    help="tvl1, farneback, dis, or OpenCV's own tvl1_opencv.",
)
@plugin_option("algorithm")
@click.option(
    "--step",
    "frame_step",
    type=int,
    default=Recipe.frame_step,
    show_default=True,
    help="Flow is from each frame t to frame t + step.",
)
@click.option(
    "--size",
    default=Recipe.size,
    show_default=True,
    metavar="SIDE|WxH",
    help="Short side, never enlarged, or an exact size.",
)
@click.option(
    "--bound", type=float, default=Recipe.bound, show_default=True, help="Largest flow, px."
)
@click.option(
    "--quantizer-step",
    type=float,
    default=Recipe.quantizer_step,
    show_default="bound / 127",
    help="Distance between stored values, px.",
)
@click.option(
    "--jpeg-quality",
    type=int,
    default=Recipe.jpeg_quality,
    show_default=True,
    help="JPEG quality of the RGB frames, 1 to 100.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu; cuda, which is all GPUs; one of them, as cuda:1; or auto: the GPUs, if there are any.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="Which of the algorithm's implementations: cpu, torch or triton; auto: the device's fastest.",
)
@click.option(
    "--jobs", type=Jobs(), default=-1, show_default=True, help="Videos at once; -1: all cores."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds without progress after which a video is given up.",
)
@click.option(
    "--keep-partial", is_flag=True, help="Of a broken video keep what decodes, marked so."
)
@click.option(
    "--scheduler", help="Address of a Dask scheduler, as tcp://host:8786: use its cluster."
)
@click.option(
    "--joblib-backend",
    default="threading",
    show_default=True,
    help="How joblib starts the videos' processes: threading does it from this one.",
)
def extract_flow(
    videos: Path, cache: Path, algorithm: str, options: Sequence[str], **given: Any
) -> None:
    """Compute the optical flow of every video under VIDEOS, once.

    What is done already is kept, so it is safe to stop this and start it again.
    """
    from flowcache import algorithms, plugins
    from flowcache.extraction.api import extract
    from flowcache.extraction.many import find_videos
    from twostream.commands._progress import ExtractionBar

    parsed = plugins.parse_options(algorithms, algorithm, options)
    files, _ = find_videos(videos)
    with ExtractionBar(notes, len(files), sum(path.stat().st_size for path in files)) as bar:
        summary = extract(
            videos,
            cache,
            algorithm=algorithm,
            options=parsed,
            on_progress=bar.progressed,
            on_outcome=bar.finished,
            on_note=notes.print,
            **given,
        )
    _report(summary, cache)
    if summary.failures:
        sys.exit(1)


def _report(summary: Any, cache: Path) -> None:
    speed = summary.fields / max(summary.seconds, 1e-9)
    results.print(
        f"{summary.count('done')} videos done ({summary.fields} fields, {speed:.0f} a second), "
        f"{summary.count('kept')} kept from before, {len(summary.failures)} without an entry"
    )
    if summary.ignored:
        notes.print(
            f"{len(summary.ignored)} files are not named as videos and were ignored, the first is "
            f"{summary.ignored[0]}"
        )
    print_lines((f"  partial: {o.job.name}: {o.reason}" for o in summary.partial), results)
    print_lines((f"  {o.kind}: {o.job.name}: {o.reason}" for o in summary.failures), results)
    if summary.failures:
        results.print(f"the list is in {cache / 'failures.csv'}")
