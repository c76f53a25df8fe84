"""MXF (SMPTE ST 377-1): a chain of key, length and value, in partitions that know where they begin."""

from mmap import mmap

from flowcache.video.containers.structure import Structure, broken, ends_early, number

_LABEL = bytes.fromhex("060e2b34")
_PACK = bytes.fromhex("060e2b34020501010d01020101")
_HEADER, _FOOTER, _LAST_PACK = 0x02, 0x04, 0x04


def inspect(content: mmap) -> Structure:
    """The chain has to reach the end of the file, with a footer partition where one is announced."""
    start = position = content.find(_PACK + bytes([_HEADER]), 0, 1 << 16)
    if start < 0:
        return Structure()
    footer_at, footer_seen = 0, False
    while position < len(content):
        if content[position : position + 4] != _LABEL:
            return broken("key", position)
        value, length = _length(content, position + 16)
        key = content[position : position + 16]
        if key.startswith(_PACK) and _HEADER <= key[13] <= _LAST_PACK and length >= 32:
            if number(content, value + 8, 8) != position - start:
                return broken("partition that knows its place", position)
            footer_at = footer_at or number(content, value + 24, 8)
            footer_seen = footer_seen or key[13] == _FOOTER
        position = value + length
    if position > len(content):
        return ends_early(content, position)
    if footer_at and not footer_seen:
        return ends_early(content, start + footer_at)
    return Structure(announced=footer_seen)


def _length(content: mmap, position: int) -> tuple[int, int]:
    """Where a value begins, and how long it is (BER)."""
    first = number(content, position, 1)
    if first < 0x80:
        return position + 1, first
    size = first & 0x7F
    return position + 1 + size, number(content, position + 1, size)
