"""The first bytes of an entry: text that says what the file is, and the SHA-256 of all that follows."""

import hashlib
from io import BufferedRandom, BufferedReader

from flowcache.cache.recipe import FORMAT_VERSION

SIZE = 512
"""Bytes of the user block that the seal fills."""


def write_seal(file: BufferedRandom) -> None:
    """Seal a file that is complete otherwise."""
    file.seek(SIZE)
    text = _text(FORMAT_VERSION, hashlib.file_digest(file, "sha256").hexdigest())
    file.seek(0)
    file.write(text)


def is_sealed(file: BufferedReader) -> bool:
    """Read a whole file, and tell whether each of its bytes is what a writer of any format wrote."""
    file.seek(0)
    found = file.read(SIZE)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    return found in [_text(version, digest) for version in range(1, FORMAT_VERSION + 1)]


def _text(format_version: int, digest: str) -> bytes:
    lines = (
        f"twostream flow cache entry, format {format_version}\n"
        f"sha256 of the bytes from {SIZE} on: {digest}\n"
    )
    return lines.encode().ljust(SIZE, b"\0")
