"""`twostream extract-flow`: from a folder of videos to a cache."""

import sys
from collections.abc import Iterator, Sequence
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
    plugin_option,
    print_lines,
    results,
)

if TYPE_CHECKING:
    from flowcache.extraction.outcome import Outcome, Summary


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
    "--backward",
    is_flag=True,
    help="Keep the flow from frame t + step to frame t beside it, for `--stream bidirectional`.",
)
@click.option(
    "--size",
    default=Recipe.size,
    show_default=True,
    metavar="SIDE|WxH|original",
    help="Short side, never enlarged, an exact size, or that of each video.",
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
@JPEG_QUALITY
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
@jobs_option("Videos")
@TIMEOUT
@click.option(
    "--keep-partial", is_flag=True, help="Of a broken video keep what decodes, marked so."
)
@SCHEDULER
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

    What is done already is kept, so it is safe to stop this and start it again. Links are followed; each
    video is taken once.
    """
    from flowcache import algorithms, plugins
    from flowcache.extraction.api import extract
    from flowcache.extraction.videos import find_videos
    from twostream.commands._progress import ExtractionBar

    parsed = plugins.parse_options(algorithms, algorithm, options)
    found = find_videos(videos)
    _note_missing_classes(videos, found.videos)
    outcomes: list[Outcome] = []
    with (
        resumable(lambda: _kept(outcomes, len(found.videos))),
        ExtractionBar(notes, len(found.videos) + len(found.lost), found.size_bytes) as bar,
    ):

        def ended(outcome: "Outcome") -> None:
            outcomes.append(outcome)
            bar.finished(outcome)

        summary = extract(
            videos,
            cache,
            algorithm=algorithm,
            options=parsed,
            on_progress=bar.progressed,
            on_outcome=ended,
            on_note=notes.print,
            **given,
        )
    _report(summary, videos, cache)
    if summary.failures:
        sys.exit(1)


def _kept(outcomes: Sequence["Outcome"], videos: int) -> str:
    have = sum(not outcome.failed for outcome in outcomes)
    return f"{have} of {videos} videos have their entries, which are kept"


def _note_missing_classes(root: Path, videos: Sequence[Path]) -> None:
    """Training needs classes, and flow takes hours: better now than then."""
    outside = [path for path in videos if path.parent == root]
    if outside:
        line = (
            f"{len(outside)} of {len(videos)} videos lie in no class folder, the first is "
            f"{printable(outside[0])}: they get their flow, but to train arrange them as "
            f"{printable(root)}/<class>/<name>"
        )
        print_lines([line], notes)


def _report(summary: "Summary", videos: Path, cache: Path) -> None:
    speed = summary.fields / max(summary.seconds, 1e-9)
    results.print(
        f"{summary.count('done')} videos done ({summary.fields} fields, {speed:.0f} a second), "
        f"{summary.count('kept')} kept from before, {len(summary.failures)} without an entry"
    )
    print_lines(_remarks(summary, videos), notes)
    print_lines((f"  partial: {o.job.name}: {o.reason}" for o in summary.partial), results)
    print_lines((f"  {o.kind}: {o.job.name}: {o.reason}" for o in summary.failures), results)
    if summary.failures:
        results.print(f"the list is in {printable(cache / 'failures.csv')}")


def _remarks(summary: "Summary", videos: Path) -> Iterator[str]:
    """What is no failure and may still surprise, each with its first case."""
    if ignored := summary.ignored:
        yield (
            f"{len(ignored)} files are not named as videos and were ignored, the first is "
            f"{printable(ignored[0])}"
        )
    if repeated := summary.repeated:
        first = f"{printable(repeated[0].path)} {repeated[0].reason}"
        yield f"{len(repeated)} links were left out, since each video is taken once: {first}"
    if damaged := summary.damaged:
        yield f"{len(damaged)} damaged entries were made again, the first was {damaged[0].damaged}"
    if ids := summary.without_video:
        yield (
            f"{len(ids)} entries of the cache have no video in {printable(videos)}, the first is "
            f"{ids[0]}: delete them if the videos are gone, or they are trained on"
        )
