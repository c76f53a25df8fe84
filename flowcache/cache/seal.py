"""The first bytes of an entry: text that says what the file is, and the SHA-256 of all that follows."""

import hashlib
import os
from functools import lru_cache
from io import BufferedRandom, BufferedReader
from pathlib import Path

from flowcache.cache.recipe import FORMAT_VERSION

SIZE = 512
"""Bytes of the user block that the seal fills."""


def write_seal(file: BufferedRandom) -> None:
    """Seal a file that is complete otherwise."""
    file.seek(SIZE)
    text = _text(FORMAT_VERSION, hashlib.file_digest(file, "sha256").hexdigest())
    file.seek(0)
    file.write(text)


def sealed_format(file: BufferedReader) -> int | None:
    """Read a whole file; the format whose seal it has, or None where a byte is not what was written."""
    file.seek(0)
    found = file.read(SIZE)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    formats = range(1, FORMAT_VERSION + 1)
    return next((version for version in formats if found == _text(version, digest)), None)


def is_sealed_file(path: Path, status: os.stat_result) -> bool:
    """Whether a file has a seal that holds. It is read once in a process, unless it has changed since.

    status: what `path.stat()` gave when the file was opened.
    """
    return _is_sealed_file(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=1 << 16)
def _is_sealed_file(path: Path, identity: tuple[int, ...]) -> bool:
    with path.open("rb") as file:
        return sealed_format(file) is not None


def _text(format_version: int, digest: str) -> bytes:
    lines = (
        f"twostream flow cache entry, format {format_version}\n"
        f"sha256 of the bytes from {SIZE} on: {digest}\n"
    )
    return lines.encode().ljust(SIZE, b"\0")
