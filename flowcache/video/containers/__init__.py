"""Does a file hold all that its container announces, and is its structure intact? Told without decoding.

A demuxer that meets the end of a file early, or a stretch that it cannot read, mostly goes on with what
it can read and reports nothing, and the video comes out shorter. Most containers state lengths, counts
or checksums that show this; each file here knows one container.
"""

from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path

from flowcache.video.containers import asf, flv, iso, matroska, mpeg_ps, mpeg_ts, mxf, riff
from flowcache.video.containers.structure import Structure

_CONTAINERS: dict[str, Callable[[mmap], Structure]] = {
    "asf": asf.inspect,
    "avi": riff.inspect,
    "flv": flv.inspect,
    "matroska": matroska.inspect,
    "mov": iso.inspect,
    "mpeg": mpeg_ps.inspect,
    "mpegts": mpeg_ts.inspect,
    "mxf": mxf.inspect,
}


def inspect(path: Path, name: str) -> Structure:
    """What the structure of a file tells; `name` is FFmpeg's name of the container ("mov,mp4,…")."""
    reader = _CONTAINERS.get(name.partition(",")[0])
    with path.open("rb") as file:
        if reader is None or file.seek(0, 2) == 0:
            return Structure()
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return reader(content)
