"""Bytes that no slice of H.264 or HEVC may hold: damage that their decoders do not always notice.

An encoder puts a 3 between two zeros and a byte of 0 to 3, so that no slice looks like the beginning of
another (ITU-T H.264 and H.265, 7.4.1). The decoders read on where these bytes stand all the same.
"""

import re
from collections.abc import Iterator

_FORBIDDEN = re.compile(rb"\x00\x00(?:[\x00-\x02]|\x03[\x04-\xff])")
_BETWEEN_START_CODES = re.compile(rb"\x00\x00(?:\x02|\x00+[^\x00\x01]|\x03[\x04-\xff])")


class SliceCheck:
    """What the packets of one stream are checked with."""

    def __init__(self, codec: str, description: bytes) -> None:
        """A codec as FFmpeg names it, and what the container says of it (`extradata`)."""
        self._hevc = codec == "hevc"
        self._applies = codec in ("h264", "hevc")
        # Containers that give each unit's length, and of how many bytes it is, begin so.
        of_length = 21 if self._hevc else 4
        stated = len(description) > of_length and description[0] == 1
        self._length_bytes = (description[of_length] & 3) + 1 if stated else 0

    def is_damaged(self, packet: bytes) -> bool:
        """Whether there is something in a packet that cannot stand in a slice."""
        if not self._applies:
            return False
        if not self._length_bytes:
            return bool(_BETWEEN_START_CODES.search(packet))
        return any(_FORBIDDEN.search(unit.rstrip(b"\0")) for unit in self._slices(packet))

    def _slices(self, packet: bytes) -> Iterator[bytes]:
        position = 0
        while position + self._length_bytes < len(packet):
            start = position + self._length_bytes
            position = start + int.from_bytes(packet[position:start])
            kind = packet[start] >> 1 & 0x3F if self._hevc else packet[start] & 0x1F
            if kind < 32 if self._hevc else kind in (1, 5):
                yield packet[start:position]
