"""The flow of a cache → files of other programs."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from flowcache.cache.in_processes import in_processes
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError, printable
from flowcache.exchange.contract import Convention, format_named


def export_flow(
    cache: str | Path,
    output: str | Path,
    *,
    format_name: str,
    bound: float | None = None,
    jpeg_quality: int = Convention.jpeg_quality,
    jobs: int = -1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the flow of every entry of a cache as files of a format, with the ids as paths.

    The folder appears when all is written. Values are those of the cache, which has quantised them: .flo,
    .npy, .npz and HDF5 hold them as they are, KITTI's PNG rounds them to 1/64 px, and pictures of 8 bits
    to 2 bound / 255 px.

    Args:
        cache: the folder of the cache.
        output: the folder to write, which must not be there yet, or be empty.
        format_name: "flo", "h5", "jpeg", "kitti", "npy", "npz" or "png".
        bound: of pictures, the displacement that is white; by default that of the cache. Pixels.
        jpeg_quality: of JPEG pictures, 1 to 100.
        jobs: how many entries at once, as joblib counts: −1 is one for each core.
        on_progress: called with (entries done, entries in all).

    Returns:
        How many fields were written.

    Raises:
        UserError: for no cache, or one without entries; a format that is not there; a folder that holds
            something, is a link or lies in the cache; and, as a DamagedEntryError, an entry that cannot
            be read. Then nothing is written.
    """
    opened, output = FlowCache.open(cache), Path(output)
    format_named(format_name)
    is_folder = output.is_dir() and not output.is_symlink()
    if os.path.lexists(output) and not (is_folder and not any(output.iterdir())):
        raise UserError(
            f"{printable(output)} is there already: name another folder, or delete it first",
            "output",
        )
    if output.resolve().is_relative_to(opened.root.resolve()):
        raise UserError(
            f"{printable(output)} lies in the cache itself, whose entries the files could be taken for: "
            "name a folder beside it",
            "output",
        )
    ids = opened.ids()
    if not ids:
        raise UserError(
            f"{printable(opened.root)} holds no entry, so there is nothing to write", "cache"
        )
    recipe = opened.recipe
    convention = Convention(
        bound=recipe.bound if bound is None else bound,
        frame_step=recipe.frame_step,
        jpeg_quality=jpeg_quality,
    )
    temporary = output.absolute().with_name(f".twostream-{uuid.uuid4().hex[:12]}.part")
    try:
        temporary.mkdir(parents=True)
        tasks = ((opened, one, temporary / one, format_name, convention) for one in ids)
        fields = 0
        for done, count in enumerate(in_processes(jobs, _export_entry, tasks), 1):
            fields += count
            on_progress(done, len(ids))
        if is_folder:  # which may be the current one, so it stays itself
            for part in temporary.iterdir():
                part.rename(output / part.name)
        else:
            temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return fields


def _export_entry(
    cache: FlowCache, identifier: str, place: Path, format_name: str, convention: Convention
) -> int:
    with cache.entry(identifier) as entry:
        count = len(entry.flow)
        fields = (entry.flow[number] for number in range(count))
        try:
            format_named(format_name).write(place, fields, count, convention)
        except UserError as error:
            raise UserError(f"{identifier}: {error}", error.parameter) from error
    return count
