"""Files that are either whole or not there, and which paths there are below a folder."""

import csv
import errno
import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from flowcache.errors import UserError, printable

# Earlier versions named it after the file, as `.v_01.h5.0123456789ab.part`: too long for long names.
_TEMPORARY = re.compile(r"\.(twostream-|.+\.(h5|json|csv)\.)[0-9a-f]{12}\.part", re.DOTALL)
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class NoSpaceError(UserError):
    """The device is full, or the user may not write any more to it."""


@contextmanager
def atomic_path(path: Path, replace: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`; what is written there becomes `path` when the block ends well.

    It is flushed to the disk before it is renamed, and removed where the block raises.

    replace: whether it takes the place of an older file; otherwise that raises FileExistsError, also
        where two begin at once.

    Raises NoSpaceError where the block, or the flushing, finds the device full, and UserError for a pipe
    or a device, as `/dev/stdout`, whose place a file would take.
    """
    _require_no_device(path)
    temporary = path.parent / f".twostream-{uuid.uuid4().hex[:12]}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _fsync(temporary)
        (os.replace if replace else _rename_new)(temporary, path)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise NoSpaceError(
            f"no space left for {printable(path)} ({os.strerror(error.errno)}): make room on the "
            "device, and give the same command again"
        ) from error
    finally:
        with suppress(OSError):  # the folder may be gone, and that is not what went wrong
            temporary.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _fsync(path.parent)


def require_writable(path: Path, parameter: str) -> None:
    """UserError unless a file can be written to this path, before work is done for it.

    Folders above it are made. parameter: whose value the path is.
    """
    try:
        _require_no_device(path, parameter)
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(
            f"{printable(path)} cannot be written ({os.strerror(error.errno or 0).lower()}): name "
            "another file, or change who may write there",
            parameter,
        ) from error


def _require_no_device(path: Path, parameter: str | None = None) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(
            f"{printable(path)} is a pipe or a device, and would be replaced: name a file",
            parameter,
        )


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write rows, the names of the columns first, as UTF-8."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def is_temporary(name: str) -> bool:
    """Whether a file's name is one that `atomic_path` gives, or gave in earlier versions."""
    return bool(_TEMPORARY.fullmatch(name))


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Delete those files that killed writers left half-written; what other programs leave is theirs."""
    for path in paths:
        if is_temporary(path.name):
            path.unlink(missing_ok=True)


def _rename_new(temporary: Path, path: Path) -> None:
    """Rename, but never over another file."""
    try:
        os.link(temporary, path)  # fails where `path` is there, which no form of renaming does
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.replace(path)


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
