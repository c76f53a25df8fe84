"""NumPy's `.npy`: a file a video, `archery/v_01.npy`, or a file a field, `archery/v_01/00001.npy`.

An array is (T, 2, H, W) or (T, H, W, 2), or the same without T, of floats in pixels; what is no number is
not known.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from flowcache.errors import UserError, printable
from flowcache.exchange.contract import Convention
from flowcache.exchange.formats._arrays import Header, read_fields, read_header, write_fields
from flowcache.exchange.formats._numbered import by_number, folder_id, in_order
from flowcache.types import Float32

NEEDS_BOUND = False


def video_of(path: Path, root: Path) -> str | None:
    """See `Format`. What is in the file tells whether it is a video or a field."""
    if path.suffix.lower() != ".npy":
        return None
    try:
        alone = not _header(path).is_field
    except (UserError, OSError):  # which is told when it is its turn
        alone = True
    return (
        path.relative_to(root).with_suffix("").as_posix() if alone else folder_id(path.parent, root)
    )


def read(files: Sequence[Path], convention: Convention) -> Iterator[Float32]:
    """See `Format`."""
    for path in files if len(files) == 1 else in_order(by_number(files)):
        name = printable(path.name)
        with path.open("rb") as file:
            yield from read_fields(file, read_header(file, name), name)


def write(place: Path, fields: Iterable[Float32], count: int, convention: Convention) -> None:
    """See `Format`: one file, float32 (T, 2, H, W)."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.npy").open("xb") as file:
        write_fields(file, fields, count)


def _header(path: Path) -> Header:
    with path.open("rb") as file:
        return read_header(file, printable(path.name))
