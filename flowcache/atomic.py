"""Files that are either whole or not there, and which paths there are below a folder."""

import csv
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flowcache.errors import UserError

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
    leftovers = [
        path
        for path in paths_below(root)
        if path.name.startswith(".") and path.name.endswith(_SUFFIX)
    ]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def paths_below(root: Path) -> Iterator[Path]:
    """All files and folders below a folder; none where there is no such folder.

    Links are followed, but for those to a folder in which they lie themselves. Raises UserError for a
    folder that cannot be read.
    """
    yield from _paths_below(root, frozenset())


def _paths_below(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    try:
        status = folder.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(folder) as listing:
            found = [(Path(one), one.is_symlink() or one.is_dir()) for one in listing]
    except FileNotFoundError:  # it never was, or has just been deleted
        return
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from None
    for path, may_be_folder in found:
        yield path
        if may_be_folder and path.is_dir():
            yield from _paths_below(path, above | {here})


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
