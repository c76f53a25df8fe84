"""Files that are either whole or not there."""

import csv
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_SUFFIX = ".part"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what is written there becomes `path` when the block ends well.

    It is flushed to the disk before it is renamed, and removed where the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:12]}{_SUFFIX}"
    try:
        yield temporary
        _fsync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _fsync(path.parent)


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write rows, the names of the columns first, as UTF-8."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def remove_leftovers(root: Path) -> int:
    """Delete what killed writers left under a folder; returns how many files that were."""
    leftovers = list(root.rglob(f".*{_SUFFIX}"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
