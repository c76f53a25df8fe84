"""MPEG transport streams (ISO/IEC 13818-1): short packets of one length, counted for each stream.

Nothing tells where a transport stream ends, but a lost packet shows in the next one's count, and a file
that was cut off hardly ever ends between two packets.
"""

from mmap import mmap

import numpy as np
from numpy.typing import NDArray

from flowcache.types import UInt8
from flowcache.video.containers.structure import Structure

_Rows = NDArray[np.int64]

_SYNC = 0x47
_PICTURES = {bytes([kind]) for kind in (*range(0xE0, 0xF0), 0xFD)}
_LENGTHS = {188: 0, 192: 4, 204: 0}
"""Where the sync byte stands in packets of each length: plain ones, with a time in front (m2ts), and with
error correction behind."""


def inspect(content: mmap) -> Structure:
    """Every packet has to begin with the sync byte, and those of the pictures to follow in count."""
    everything = np.frombuffer(content, np.uint8)
    grid = _grid(everything)
    if grid is None:
        return Structure()
    first, length = grid
    whole = (len(content) - first) // length
    rows = everything[first : first + whole * length].reshape(whole, length)
    packets = rows[:, _LENGTHS[length] :][:, :188]
    begin, lost = _pictures(packets)
    if first + whole * length < len(content):
        lost = np.append(lost, whole)
    if not lost.size:
        return Structure()
    row = int(lost.min())
    damage = (
        "the file ends in the middle of a packet"
        if row == whole
        else f"packets are lost or damaged at byte {first + length * row} of the file"
    )
    # The picture that the packets before the gap belong to is damaged too.
    before = begin[begin < row]
    return Structure(False, damage, first + length * int(before.max() if before.size else 0))


def _grid(everything: UInt8) -> tuple[int, int] | None:
    """Where the first packet begins, and the length of packets: there most sync bytes lie."""
    best, grid = 0.3, None
    for length, before in _LENGTHS.items():
        rows = everything[: len(everything) // length * length].reshape(-1, length)[:10_000]
        share = (rows == _SYNC).mean(0) if len(rows) else np.zeros(1)
        if share.max() > best:
            best, grid = share.max(), (int(share.argmax() - before) % length, length)
    return grid


def _pictures(packets: UInt8) -> tuple[_Rows, _Rows]:
    """In which packets pictures begin, and which are damaged or have a gap before them."""
    head = packets[:, :6].copy()  # in one pass through the file
    stream = (head[:, 1] & 0x1F).astype(np.uint16) << 8 | head[:, 2]
    adapted, filled = head[:, 3] & 0x20 != 0, head[:, 3] & 0x10 != 0
    damaged = (head[:, 0] != _SYNC) | (head[:, 1] & 0x80 != 0)
    announced = adapted & (head[:, 4] > 0) & (head[:, 5] & 0x80 != 0)
    flagged = np.flatnonzero((head[:, 1] & 0x40 != 0) & filled & ~damaged)
    begins = flagged[np.array([_is_picture(packets[row], adapted[row]) for row in flagged], bool)]
    for pictures in np.unique(stream[begins]):
        rows = np.flatnonzero((stream == pictures) & ~damaged)
        steps = np.diff(head[rows, 3] & 0xF) & 0xF
        damaged[rows[1:]] |= (steps != filled[rows[1:]]) & ~announced[rows[1:]]
        damaged[np.setdiff1d(flagged[stream[flagged] == pictures], begins)] = True
    return begins, np.flatnonzero(damaged)


def _is_picture(packet: UInt8, adapted: bool) -> bool:
    """Whether a packet begins with the start code of a picture."""
    content = 5 + int(packet[4]) if adapted else 4
    start = packet[content : content + 4].tobytes()
    return start[:3] == b"\0\0\1" and start[3:] in _PICTURES
