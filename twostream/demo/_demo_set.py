"""What the demo's sets of videos share: what each says of itself, and how its files are named."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flowcache.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DemoSet:
    """A set of labelled videos, and what the four commands are told for it.

    render: writes the videos into a folder, as `<class>/<video>`.
    contact_sheet: draws some of a folder's videos beside their flow, as a PNG file.
    extract, train: options of `extract-flow`, and of `train` for both streams, as a shell has them.
    finding: what the results show, in one sentence.
    render_long: writes a long video in which the classes follow one another, and beside it a `.csv` that
        says when; None where the set has none.
    """

    render: Callable[[Path], None]
    contact_sheet: Callable[[Path, Path], None]
    extract: str
    train: str
    finding: str
    render_long: Callable[[Path], None] | None = None


def numbered(folder: Path, name: str, videos: int, groups: int) -> Iterator[tuple[int, int, Path]]:
    """The number, the group and the path of each video of a class, `<name>/<name>_gNN_cMM.avi`.

    Every group has its first video before one has a second.
    """
    for video in range(videos):
        clip, group = divmod(video, groups)
        yield video, group, folder / name / f"{name}_g{group + 1:02}_c{clip + 1:02}.avi"


def check_numbers(videos_per_class: int, frames: int, size: int, smallest: int) -> None:
    """UserError for numbers that make no video with a square picture, or one below `smallest`."""
    if videos_per_class < 1 or frames < 2 or size < smallest or size % 2:
        raise UserError(
            f"the demo cannot have {videos_per_class} videos a class, of {frames} frames of {size} "
            f"pixels a side: give at least 1 video, 2 frames, and an even side from {smallest} pixels on"
        )
