"""Files of a video that are a field each: the numbers in their names are their order."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from os.path import abspath
from pathlib import Path
from typing import TypeVar

from flowcache.cache.info import MOST_PIXELS
from flowcache.errors import UserError, printable

Item = TypeVar("Item")

_LAST_NUMBER = re.compile(r"(\d+)\D*$")


def folder_id(folder: Path, root: Path) -> str:
    """The id of the video whose files lie in a folder; those in the root itself are named as it is."""
    if folder != root:
        return folder.relative_to(root).as_posix()
    return Path(abspath(root)).name  # noqa: PTH100 - of ".." the name, and of a link its own


def is_numbered(path: Path) -> bool:
    """Whether a file's name holds a number."""
    return bool(_LAST_NUMBER.search(path.stem))


def by_number(files: Sequence[Path]) -> dict[int, Path]:
    """Files by the last number in their names. Raises UserError where two have the same."""
    numbered: dict[int, Path] = {}
    for path in sorted(files):
        found = _LAST_NUMBER.search(path.stem)
        if not found:
            raise UserError(f"{printable(path.name)} has no number in its name, so no place")
        first = numbered.setdefault(int(found[1]), path)
        if first is not path:
            raise UserError(
                f"{printable(first.name)} and {printable(path.name)} both have the number {int(found[1])}"
            )
    return numbered


def in_order(numbered: Mapping[int, Item]) -> list[Item]:
    """What belongs to the numbers, in their order. Raises UserError where one is missing between."""
    numbers = sorted(numbered)
    for before, after in pairwise(numbers):
        if after != before + 1:
            raise UserError(f"field {before + 1} is missing: the numbers go on with {after}")
    return [numbered[number] for number in numbers]


def require_size(name: str, height: int, width: int) -> None:
    """UserError for a size that no field of a cache has, before memory is taken for it."""
    if min(height, width) < 1 or height * width > MOST_PIXELS:
        raise UserError(f"{name} says that it has {width}x{height} pixels")
