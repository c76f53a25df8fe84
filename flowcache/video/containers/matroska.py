"""Matroska and WebM (RFC 9559): elements in elements, of stated or open length, some with a CRC-32."""

import zlib
from mmap import mmap

from flowcache.video.containers.structure import Structure, broken, ends_early, number

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_VOID, _CRC = 0xEC, 0xBF
_IN_SEGMENT = frozenset(
    [
        *(0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B),  # up to the cues
        *(0x1941A469, 0x1043A770, 0x1254C367, _VOID, _CRC),
    ]
)
_IN_CLUSTER = frozenset([0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0xAF, 0x5854, _VOID, _CRC])


def inspect(content: mmap) -> Structure:
    """Every element of the segment has to be one that belongs there, whole, and as its CRC-32 says.

    Live recordings leave the lengths of the segment and its clusters open. Then nothing tells whether
    there was more behind the last block.
    """
    start = _segment(content)
    if isinstance(start, Structure):
        return start
    position, length = start
    announced = length is not None
    end = len(content) if length is None else position + length
    if end > len(content):
        damage = _damage(content, position, len(content))
        return damage if damage and damage.position < len(content) else ends_early(content, end)
    return _damage(content, position, end) or Structure(announced)


def _segment(content: mmap) -> tuple[int, int | None] | Structure:
    """Where the content of the segment begins and how long it is; or why there is none."""
    position = 0
    while element := _element(content, position):
        identifier, position, length = element
        if identifier == _SEGMENT:
            return position, length
        if length is None:
            break
        position += length
        if position > len(content):
            return ends_early(content, position)
    return broken("segment", min(position, len(content)))


def _damage(content: mmap, position: int, end: int) -> Structure | None:
    """The first damage between two positions; an element that runs over the end is one."""
    in_open_cluster = False
    while position < end:
        element = _element(content, position)
        if not element:
            return broken("element of Matroska", position)
        identifier, inside, length = element
        if identifier not in _IN_SEGMENT and not (in_open_cluster and identifier in _IN_CLUSTER):
            return broken("element of Matroska that belongs there", position)
        if length is None and identifier != _CLUSTER:
            return broken("element of stated length", position)
        if identifier not in _IN_CLUSTER:
            in_open_cluster = length is None  # a cluster, as only those may be open
        if length is None:
            position = inside
            continue
        if inside + length > len(content):
            return ends_early(content, inside + length)
        if inside + length > end:
            return broken("element that ends before the segment does", position)
        if content[inside : inside + 2] == b"\xbf\x84" and identifier in _IN_SEGMENT:
            stated = number(content, inside + 2, 4, "little")
            if zlib.crc32(memoryview(content)[inside + 6 : inside + length]) != stated:
                return Structure(False, "the checksum of a part of the file differs", position)
        position = inside + length
    return None


def _element(content: mmap, position: int) -> tuple[int, int, int | None] | None:
    """The identifier of an element, where its content begins, and how long it is, None for open.

    None where no element can begin so (RFC 8794, section 4).
    """
    identifier = _integer(content, position, longest=4)
    if not identifier:
        return None
    raw, after = identifier
    size = _integer(content, after, longest=8)
    if not size:
        return None
    value, inside = size
    marker = 1 << 7 * (inside - after)
    length = value - marker
    return raw, inside, None if length == marker - 1 else length


def _integer(content: mmap, position: int, longest: int) -> tuple[int, int] | None:
    """A number of variable length, its marker included, and the position behind it."""
    if position >= len(content) or not content[position]:
        return None
    size = 9 - content[position].bit_length()
    if size > longest or position + size > len(content):
        return None
    return number(content, position, size), position + size
