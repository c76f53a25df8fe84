"""Pairs of gray JPEG pictures; see `_pairs` for the names and the values.

JPEG changes values by a few codes beside edges of motion, so what was written is not what is read.
"""

from collections.abc import Iterable
from pathlib import Path

import cv2

from flowcache.exchange.contract import Convention
from flowcache.exchange.formats import _pairs
from flowcache.exchange.formats._pairs import read
from flowcache.types import Float32

__all__ = ["NEEDS_BOUND", "read", "video_of", "write"]

NEEDS_BOUND = True


def video_of(path: Path, root: Path) -> str | None:
    """See `Format`."""
    return _pairs.video_of(path, root) if path.suffix.lower() in (".jpg", ".jpeg") else None


def write(place: Path, fields: Iterable[Float32], count: int, convention: Convention) -> None:
    """See `Format`: `flow_x_00001.jpg` and `flow_y_00001.jpg`, numbered from 1."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, convention.jpeg_quality]
    _pairs.write(place, fields, ".jpg", convention.bound, quality)
