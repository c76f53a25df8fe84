"""FLV: behind each tag stands its length, and `onMetaData` may state the length of the file."""

import struct
from mmap import mmap

from flowcache.video.containers.structure import Structure, broken, ends_early, number

_KINDS = {8, 9, 18}  # sound, pictures, data


def inspect(content: mmap) -> Structure:
    """Every tag has to be whole, and its length to stand behind it as it stands in front."""
    announced = _file_size(content)
    if announced > len(content):
        return ends_early(content, announced)
    first = number(content, 5, 4) + 4
    position, lengths_behind = first, True
    while position < len(content):
        length = 11 + number(content, position + 1, 3)
        end = position + length + 4
        if content[position] & 0x1F not in _KINDS:
            return broken("tag", position)
        if end > len(content):
            return ends_early(content, end)
        if lengths_behind and number(content, end - 4, 4) != length:
            if position > first:
                return broken("end of a tag", position)
            lengths_behind = False  # some programs write none
        position = end
    return Structure(announced=announced > 0)


def _file_size(content: mmap) -> int:
    """The length of the file as its first tag states it, 0 where it does not."""
    at = content.find(b"\x00\x08filesize\x00", 0, 4096)
    if at < 0:
        return 0
    (value,) = struct.unpack(">d", content[at + 11 : at + 19].ljust(8, b"\0"))
    return int(value) if 0 < value < 1 << 60 else 0
