"""From videos as lists name them to the ids of an index."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from twostream.data.index import (
    Item,
    VideoIndex,
    VideoIndexError,
    folded,
    shortened,
    video_id,
)


@dataclass(frozen=True)
class Listed:
    """One video as a list names it.

    name: its path, with or without the ending. where: its place in the list, as "line 3". number: of its
    class, counted from 1. label: the name of its class. Number and label may be left out.
    """

    name: str
    where: str
    number: int | None = None
    label: str = ""


Find = Callable[[Listed], Sequence[str]]
"""The ids that a listed video may have: one, none, or several that cannot be told apart."""

Finder = Callable[[VideoIndex], Find]


def by_path(index: VideoIndex) -> Find:
    """Find a video by class folder and name.

    UCF101 writes HandStandPushups and HandstandPushups for the same class, so where there is no such path
    one is found that is the same when both are `folded`.
    """
    exact = {item.id for item in index.items}
    alike = {folded(item.id): item.id for item in index.items}

    def find(listed: Listed) -> Sequence[str]:
        identifier = video_id(listed.name)
        found = identifier if identifier in exact else alike.get(folded(identifier))
        return [found] if found else []

    return find


def by_file_name(index: VideoIndex) -> Find:
    """Find a video by the name of its file, in the folder of its class where several have that name."""
    items: dict[str, list[Item]] = {}
    for item in index.items:
        items.setdefault(PurePosixPath(item.id).name, []).append(item)

    def find(listed: Listed) -> Sequence[str]:
        named = items.get(PurePosixPath(listed.name).name, [])
        label = folded(listed.label)
        of_class = [item for item in named if folded(index.classes[item.label]) == label]
        return [item.id for item in of_class or named]

    return find


def ids_of(
    listed: Sequence[Listed],
    index: VideoIndex,
    source: Path,
    finder: Finder,
    skip_missing: bool,
    say: Callable[[str], None],
) -> list[str]:
    """The ids of listed videos, in the order of the list.

    source: the file or folder of the list, for messages. Raises VideoIndexError for videos that the index
    lacks (unless they may be skipped, and then `say` is told of them), for one named twice or that may be
    either of two, and for a class that is not the one of the video's folder.
    """
    find = finder(index)
    found = [(one, find(one)) for one in listed]
    if missing := [one for one, ids in found if not ids]:
        lacking = (
            f"{source}: {len(missing)} of its {len(listed)} videos are not in the cache, the first is "
            f"{shortened(missing[0].name)} ({missing[0].where})"
        )
        if not skip_missing:
            raise VideoIndexError(f"{lacking}: extract them, or leave them out", "skip_missing")
        say(f"{lacking}: they are left out")
    for one, ids in found:
        if len(ids) > 1:
            raise VideoIndexError(
                f"{source}, {one.where}: {shortened(one.name)} may be {ids[0]} or {ids[1]}: keep one of "
                "the two in the cache"
            )
    kept = [(one, ids[0]) for one, ids in found if ids]
    chosen = [identifier for _, identifier in kept]
    if twice := first_repeated(chosen):
        raise VideoIndexError(f"{source} names {shortened(twice)} twice: leave one of the two out")
    for (one, _), item in zip(kept, index.select(chosen), strict=True):
        _check_class(one, item, index, source)
    return chosen


def _check_class(listed: Listed, item: Item, index: VideoIndex, source: Path) -> None:
    name = index.classes[item.label]
    if listed.number not in (None, item.label + 1):
        raise VideoIndexError(
            f"{source}, {listed.where}, gives {item.id} class {listed.number}, and here it is class "
            f"{item.label + 1} ({name}): give the list's own classInd.txt",
            "class_list",
        )
    if listed.label and folded(listed.label) != folded(name):
        raise VideoIndexError(
            f"{source}, {listed.where}, gives {item.id} the class {shortened(listed.label)}: extract it "
            "from a folder of that name"
        )


def first_repeated(values: Iterable[str]) -> str | None:
    """The first value that has been there before; None where there is none."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
