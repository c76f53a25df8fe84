"""Pairs of gray PNG pictures of 8 bits; see `_pairs` for the names and the values.

denseflow's own PNG (`-st=png`), one colour picture a field whose scale is in its blue, is another format.
"""

from collections.abc import Iterable
from pathlib import Path

from flowcache.exchange.contract import Convention
from flowcache.exchange.formats import _pairs
from flowcache.exchange.formats._pairs import read
from flowcache.types import Float32

__all__ = ["NEEDS_BOUND", "read", "video_of", "write"]

NEEDS_BOUND = True


def video_of(path: Path, root: Path) -> str | None:
    """See `Format`."""
    return _pairs.video_of(path, root) if path.suffix.lower() == ".png" else None


def write(place: Path, fields: Iterable[Float32], count: int, convention: Convention) -> None:
    """See `Format`: `flow_x_00001.png` and `flow_y_00001.png`, numbered from 1."""
    _pairs.write(place, fields, ".png", convention.bound)
