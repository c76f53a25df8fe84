"""The pictures of a report: of the videos that the fusion rescued and lost, from a cache."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flowcache.cache.entry import Entry
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream.explanation.explain import explain
from twostream.explanation.heat import heat_over
from twostream.explanation.strip import telling
from twostream.html_report.content import ReportContent
from twostream.html_report.strips import (
    MOMENTS,
    WIDTH,
    Strip,
    VideoPictures,
    above_each_other,
    data_address,
    strip_of,
)
from twostream.prediction.networks import Network

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
    if missing := [identifier for identifier in ids if identifier not in cache]:
        say(
            f"{len(missing)} of the {len(ids)} videos that are to be shown are not in {cache.root}, the "
            f"first is {missing[0]}"
        )
    return [identifier for identifier in ids if identifier in cache]


def read_pictures(
    cache: FlowCache,
    ids: Sequence[str],
    networks: Mapping[str, Network],
    on_video: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, VideoPictures]:
    """Frames and flow of videos of a cache, by their ids.

    networks: of the runs, by name; what in a video spoke for the class that each names is shown too.
    on_video: is given how many videos are done, and of how many.

    Raises DamagedEntryError for an entry that cannot be read.
    """
    pictures = {}
    for number, identifier in enumerate(ids, 1):
        with cache[identifier] as entry:
            maps = [map_strip(name, network, entry) for name, network in networks.items()]
            pictures[identifier] = VideoPictures(strip_of(entry), maps)
        on_video(number, len(ids))
    return pictures


def map_strip(name: str, network: Network, entry: Entry) -> Strip:
    """What a run looked at, and below it what spoke for the class that the run names."""
    found = explain(network, entry)
    numbers = telling(found, min(MOMENTS, len(found.frames)))
    pictures = [
        above_each_other(
            found.frames[number], heat_over(found.frames[number], found.map[number], found), WIDTH
        )
        for number in numbers
    ]
    return Strip(
        [data_address(picture) for picture in pictures],
        [float(found.times[number]) for number in numbers],
        f"{name}: what spoke for {found.label}, bright where most does "
        f"({found.method.replace('_', ' ')}); pale where the network saw nothing.",
    )
