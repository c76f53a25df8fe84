"""Find out whether a video file holds all the bytes that its container announces.

A demuxer that meets the end of a file early mostly reports an ordinary end of stream, and the video
comes out shorter. AVI (RIFF), MP4/MOV (ISO base media) and Matroska/WebM state the length of their
parts up front, so what is missing can be told without decoding. Streaming formats (MPEG-TS, MPEG-PS,
FLV, raw streams) state no length: for them nothing is known.
"""

from pathlib import Path
from typing import BinaryIO

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = 0x18538067
_ISO_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}


def missing_bytes(path: Path) -> int:
    """How many bytes of its frames' data a file lacks at its end; 0 where none or not known."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head[:4] == b"RIFF":
            end = _riff_end(file, size)
        elif head[4:8] in _ISO_FIRST_BOXES:
            end = _iso_end(file, size)
        elif head[:4] == _EBML:
            end = _matroska_end(file, size)
        else:
            end = 0
    return max(0, end - size)


def _riff_end(file: BinaryIO, size: int) -> int:
    """Where the last `movi` list ends; an index missing behind it costs no frame."""
    end = position = inside_until = 0
    while position + 12 <= size:
        file.seek(position)
        tag, length = file.read(4), int.from_bytes(file.read(4), "little")
        kind = file.read(4)
        if position >= inside_until:
            # Large files go on in further RIFF chunks; anything else behind one is slack.
            if tag != b"RIFF" or kind not in (b"AVI ", b"AVIX"):
                break
            inside_until = position + 8 + length
            position += 12  # step inside
            continue
        if tag == b"LIST" and kind == b"movi":
            end = position + 8 + length
        position += 8 + length + length % 2
    return end


def _iso_end(file: BinaryIO, size: int) -> int:
    """Where the last top-level box ends."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length == 0 or not kind.isalnum():  # to the end of the file; or not a box at all
            return size
        position += max(length, 8)
    return position


def _matroska_end(file: BinaryIO, size: int) -> int:
    """Where the segment ends; 0 where its length was left open, as live recordings do."""
    while True:
        identifier = _vint(file, keep_marker=True)
        length = _vint(file, keep_marker=False)
        if identifier is None or length is None:
            return 0
        end = file.tell() + length
        if identifier == _SEGMENT or end > size:
            return end
        file.seek(length, 1)


def _vint(file: BinaryIO, keep_marker: bool) -> int | None:
    """A variable-length integer (RFC 8794, section 4); None at the end or where it is "unknown"."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    extra = 8 - first[0].bit_length()
    raw = int.from_bytes(first + file.read(extra), "big")
    marker = 1 << (7 * (extra + 1))
    if keep_marker:
        return raw
    value = raw & (marker - 1)
    return None if value == marker - 1 else value
