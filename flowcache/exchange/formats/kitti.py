"""KITTI's PNG, one colour picture of 16 bits a field: `archery/v_01/00001.png`.

Red is 64 dx + 2¹⁵, green 64 dy + 2¹⁵, and blue is 0 where the displacement is not known. So it holds
± 512 pixels in steps of 1/64.

Source: Geiger et al. 2012, "Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite", and
the `readme.txt` of its devkit.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from flowcache.errors import UserError, printable
from flowcache.exchange.contract import Convention
from flowcache.exchange.formats._numbered import (
    by_number,
    folder_id,
    in_order,
    is_numbered,
)
from flowcache.exchange.formats._pairs import video_of as video_of_pair
from flowcache.types import Float32

NEEDS_BOUND = False

_ZERO, _PER_PIXEL = 1 << 15, 64
_FRAMES = ("img", "image", "frame")
"""How names begin of pictures that are frames and lie beside flow."""


def video_of(path: Path, root: Path) -> str | None:
    """See `Format`. Pictures that are named as pairs, or as frames, are no such files."""
    if path.suffix.lower() != ".png" or not is_numbered(path):
        return None
    if path.stem.lower().startswith(_FRAMES) or video_of_pair(path, root) is not None:
        return None
    return folder_id(path.parent, root)


def read(files: Sequence[Path], convention: Convention) -> Iterator[Float32]:
    """See `Format`."""
    for path in in_order(by_number(files)):
        yield _read_field(path)


def write(place: Path, fields: Iterable[Float32], count: int, convention: Convention) -> None:
    """See `Format`: `flow_00001.png` and so on, numbered from 1; displacements are rounded to 1/64 px."""
    place.mkdir(parents=True)
    for number, field in enumerate(fields, 1):
        values = np.rint(field.astype(np.float64) * _PER_PIXEL) + _ZERO
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise UserError(
                f"field {number} has displacements beyond ± 512 px, which KITTI's PNG cannot hold: write "
                "flo or npy"
            )
        picture = np.ones((*field.shape[1:], 3), np.uint16)  # as OpenCV has it: blue, green, red
        picture[..., 2], picture[..., 1] = values
        encoded = cv2.imencode(".png", picture)[1]
        (place / f"flow_{number:05}.png").write_bytes(encoded.tobytes())


def _read_field(path: Path) -> Float32:
    name = printable(path.name)
    encoded = np.frombuffer(path.read_bytes(), np.uint8)
    picture = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
    if picture is None:
        raise UserError(f"{name} is no picture that can be read")
    if picture.dtype != np.uint16 or picture.ndim != 3 or picture.shape[2] != 3:
        raise UserError(f"{name} is no colour picture of 16 bits, as KITTI's flow is")
    blue, green, red = np.moveaxis(picture, 2, 0)
    field = (np.stack([red, green]).astype(np.float32) - _ZERO) / np.float32(_PER_PIXEL)
    field[:, blue == 0] = np.nan
    return field
