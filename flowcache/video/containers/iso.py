"""MP4 and MOV (ISO base media, ISO/IEC 14496-12): boxes that state their length, some in fragments."""

from collections.abc import Iterator
from mmap import mmap

from flowcache.video.containers.structure import Structure, broken, ends_early, number

_NO_FRAMES = 0x010000  # a flag of `tfhd`


def inspect(content: mmap) -> Structure:
    """The boxes have to end within the file, and fragments to be numbered one after the other.

    A file in fragments may end behind any of them; `mfra` is what a writer puts behind the last.
    """
    position, fragment, open_end, kinds = 0, 0, False, set()
    while position + 8 <= len(content):
        length, kind = number(content, position, 4), content[position + 4 : position + 8]
        if length == 1:
            length = number(content, position + 8, 8)
        if length == 0 or not kind.isalnum():  # to the end of the file; or not a box at all
            open_end = length == 0 and kind.isalnum()
            if fragment and not open_end and b"mfra" not in kinds:
                return broken("box", position)
            break
        if kind == b"moof":
            following = _fragment_number(content, position)
            if fragment and following != fragment + 1:
                return broken(f"fragment with the number {fragment + 1}", position)
            if not _has_frames(content, position + 8, position + length):
                return broken("fragment that names its frames", position)
            fragment = following
        kinds.add(kind)
        position += max(length, 8)
    if position > len(content):
        return ends_early(content, position)
    return Structure(announced=b"mfra" in kinds if fragment else not open_end)


def _fragment_number(content: mmap, position: int) -> int:
    """The number in `mfhd`, the first box of a fragment."""
    return number(content, position + 20, 4)


def _has_frames(content: mmap, position: int, end: int) -> bool:
    """Whether every track of a fragment has a list of frames, or says that it has none."""
    tracks = [inside for kind, *inside in _boxes(content, position, end) if kind == b"traf"]
    for track in tracks:
        kinds = {kind: start for kind, start, _ in _boxes(content, *track)}
        if b"tfhd" not in kinds:
            return False
        empty = number(content, kinds[b"tfhd"], 4) & _NO_FRAMES
        if b"trun" not in kinds and not empty:
            return False
    return bool(tracks)


def _boxes(content: mmap, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two positions: the kind, and where the content begins and ends."""
    while position + 8 <= end:
        following = position + max(8, number(content, position, 4))
        yield content[position + 4 : position + 8], position + 8, following
        position = following
