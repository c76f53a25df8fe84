"""Explanations of one video as a file."""

from collections.abc import Sequence
from pathlib import Path

from flowcache.cache.entry import Entry
from flowcache.errors import UserError
from flowcache.show.files import write_png, write_video
from flowcache.show.render import rate_of
from twostream.explanation.explain import Explanation
from twostream.explanation.overlay import draw_overlay
from twostream.explanation.strip import draw_strip

KINDS = (".png", ".mp4")


def require_kind(path: Path) -> None:
    """UserError for a file that is to be neither a strip nor a video."""
    if path.suffix.lower() not in KINDS:
        raise UserError(
            f"{path} is no kind of explanation: end it in .png for a strip or in .mp4 for a video",
            "explain",
        )


def write_explanations(
    path: Path, entries: Sequence[Entry], explanations: Sequence[Explanation], title: str = ""
) -> None:
    """Write the explanations of one video: .png is a strip, .mp4 a video.

    explanations: one for each stream. entries: what each is of. Raises UserError for another ending.
    """
    require_kind(path)
    if path.suffix.lower() == ".png":
        write_png(path, draw_strip(explanations, title))
    else:
        write_video(path, draw_overlay(entries, explanations, title), rate_of(entries[0]))
