"""MPEG program streams (ISO/IEC 13818-1): packets that state their length; an end code may follow."""

from mmap import mmap

from flowcache.video.containers.structure import Structure, broken, ends_early, number

_END, _PACK, _SYSTEM = 0xB9, 0xBA, 0xBB


def inspect(content: mmap) -> Structure:
    """One packet has to follow the other; zeros may stand between them."""
    position = start = max(0, content.find(b"\0\0\1\xba"))
    while position + 4 <= len(content):
        code = content[position + 3]
        if content[position : position + 3] != b"\0\0\1" or code < _END:
            filled = _behind_zeros(content, position)
            if filled == position:
                return broken("packet", position)
            position = filled
            continue
        if code == _END:
            return Structure(announced=True)
        position += (
            _pack_length(content, position)
            if code == _PACK
            else 6 + number(content, position + 4, 2)
        )
    if position > len(content) > start:
        return ends_early(content, position)
    return Structure()


def _pack_length(content: mmap, position: int) -> int:
    """Of a pack header: that of MPEG-1 is shorter."""
    if number(content, position + 4, 1) >> 6 == 0b01:
        return 14 + (number(content, position + 13, 1) & 7)
    return 12


def _behind_zeros(content: mmap, position: int) -> int:
    """The next start code or the end, where nothing but zeros lies before it; else the same position."""
    following = content.find(b"\0\0\1", position)
    following = len(content) if following < 0 else following
    return following if not any(content[position:following]) else position
