"""The text of a list."""

from collections.abc import Iterator
from pathlib import Path

from twostream.data.index import VideoIndexError


def read_text(path: Path) -> str:
    """All of a file. VideoIndexError where it cannot be read as UTF-8."""
    try:
        # Some editors put a mark in front of the first line, which "-sig" takes away.
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VideoIndexError(f"{path} cannot be read as UTF-8 text: {error}") from None


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, without spaces around them, and their numbers from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()
