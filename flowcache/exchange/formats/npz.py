"""NumPy's `.npz`, a file a video: `archery/v_01.npz` holds the array `flow`, or one array of any name.

The array is as in `.npy`.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from flowcache.errors import UserError, printable
from flowcache.exchange.contract import Convention
from flowcache.exchange.formats._arrays import read_fields, read_header, write_fields
from flowcache.types import Float32

NEEDS_BOUND = False

_MEMBER = "flow.npy"


def video_of(path: Path, root: Path) -> str | None:
    """See `Format`."""
    there = path.suffix.lower() == ".npz"
    return path.relative_to(root).with_suffix("").as_posix() if there else None


def read(files: Sequence[Path], convention: Convention) -> Iterator[Float32]:
    """See `Format`."""
    (path,) = files
    name = printable(path.name)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_member(archive, name)) as file:
            yield from read_fields(file, read_header(file, name), name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{name} is no .npz file, or damaged ({error})") from None


def write(place: Path, fields: Iterable[Float32], count: int, convention: Convention) -> None:
    """See `Format`: one compressed file, with the array `flow`, float32 (T, 2, H, W)."""
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.with_name(f"{place.name}.npz")
    with (
        zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive,
        archive.open(_MEMBER, "w", force_zip64=True) as file,
    ):
        write_fields(file, fields, count)


def _member(archive: zipfile.ZipFile, name: str) -> str:
    members = [one for one in archive.namelist() if one.endswith(".npy")]
    if _MEMBER in members:
        return _MEMBER
    if len(members) != 1:
        raise UserError(f"{name} holds {len(members)} arrays: name the one with the flow `flow`")
    return members[0]
