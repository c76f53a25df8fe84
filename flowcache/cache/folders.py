"""Folders as they are: with links, loops, names of any bytes, and parts that cannot be read."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Skipped:
    """What a walk passed over."""

    path: Path

    reason: str
    """Completes a sentence that begins with the path."""

    lost: bool
    """Whether its content was not seen at all; otherwise it was seen at another place."""


def walk(
    root: Path, on_skipped: Callable[[Skipped], None] = lambda _: None, hidden: bool = False
) -> Iterator[Path]:
    """The files under a folder, also those behind links to files and folders.

    Each real folder is entered once, so loops end. What lies in the folder by itself comes first: a link
    that leads into the same folder is the one that is passed over.

    Args:
        root: the folder; what is yielded begins with it.
        on_skipped: told what is not entered: a link that leads nowhere or to a folder that was seen
            before, a folder that cannot be read, and what is neither a file nor a folder.
        hidden: whether files and folders whose names begin with a dot are taken, too.
    """
    folders, links = [root], list[Path]()
    seen = set()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                reason = "is a link to a folder that is taken at another place"
                on_skipped(Skipped(folder, reason, lost=False))
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                names = sorted((e.name, e.is_symlink()) for e in entries)
        except OSError as error:
            on_skipped(Skipped(folder, f"cannot be read ({error.strerror})", lost=True))
            continue
        for name, is_link in names:
            if name.startswith(".") and not hidden:
                continue
            path = folder / name
            try:
                mode = path.stat().st_mode
            except OSError as error:
                what = "is a link that leads nowhere" if is_link else "cannot be read"
                on_skipped(Skipped(path, f"{what} ({error.strerror})", lost=True))
                continue
            if stat.S_ISDIR(mode):
                (links if is_link else folders).append(path)
            elif stat.S_ISREG(mode):
                yield path
            else:
                on_skipped(Skipped(path, "is neither a file nor a folder", lost=True))
