"""The pictures of a report: of the videos that the fusion rescued and lost, from a cache."""

from collections.abc import Callable, Sequence
from pathlib import Path

from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream.html_report.content import ReportContent
from twostream.html_report.strips import VideoPictures, strip_of

MOST = 8
"""Of how many videos of each kind frames are shown where nothing else is asked for."""


def chosen_ids(content: ReportContent, most: int = MOST) -> list[str]:
    """The ids of the first videos of each kind, each once."""
    ids = [video.id for group in content.chosen for video in group.videos[:most]]
    return list(dict.fromkeys(ids))


def open_cache(folder: Path, say: Callable[[str], None]) -> FlowCache | None:
    """The cache in a folder; None where there is none, which is said."""
    try:
        return FlowCache.open(folder)
    except UserError:
        say(f"{folder} is no flow cache, so no frames and no flow are shown: name one to see them")
        return None


def here(cache: FlowCache, ids: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """Those of the videos that a cache has; how many lack is said."""
    kept = [identifier for identifier in ids if identifier in cache]
    if missing := [identifier for identifier in ids if identifier not in cache]:
        say(
            f"{len(missing)} of the {len(ids)} videos that are to be shown are not in {cache.root}, the "
            f"first is {missing[0]}"
        )
    return kept


def read_pictures(
    content: ReportContent,
    folder: Path,
    most: int = MOST,
    say: Callable[[str], None] = lambda _: None,
    on_video: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, VideoPictures]:
    """Frames and flow of the chosen videos, by their ids, from the cache in a folder.

    most: of so many videos of each kind. say: is told what cannot be shown. on_video: is given how many
    videos are done, and of how many.

    Raises DamagedEntryError for an entry that cannot be read.
    """
    wanted = chosen_ids(content, most)
    cache = open_cache(folder, say) if wanted else None
    if cache is None:
        return {}
    ids = here(cache, wanted, say)
    pictures = {}
    for number, identifier in enumerate(ids, 1):
        with cache[identifier] as entry:
            pictures[identifier] = VideoPictures(strip_of(entry))
        on_video(number, len(ids))
    return pictures
