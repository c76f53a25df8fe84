"""Videos without a cache, and the lists that name them."""

from collections.abc import Sequence
from pathlib import Path

from twostream.data.index import Item, VideoIndex


def index_of(*ids: str, classes: Sequence[str] = ()) -> VideoIndex:
    """An index of these ids; the classes are their folders where none are given."""
    classes = classes or sorted({i.split("/")[0] for i in ids})
    items = (Item(i, classes.index(i.split("/")[0]), i, 5, 4, f"sha of {i}") for i in sorted(ids))
    return VideoIndex(tuple(items), tuple(classes))


def write(path: Path, *lines: str) -> Path:
    """A text file of these lines."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
