"""A stream's decoder that reports what it cannot read, where FFmpeg's would paint over it."""

from typing import Any

import av

from flowcache.video.ffmpeg_log import logged_errors
from flowcache.video.nal_units import SliceCheck

_STRICTER = {"vp9": "libvpx-vp9"}
"""FFmpeg's own decoder of VP9 ignores what is left of a packet. This one refuses it, and gives the same
pictures."""


class DamagedDataError(Exception):
    """What is wrong with a packet."""


class StrictDecoder:
    """Decodes the packets of one stream, from the first on."""

    def __init__(self, stream: av.VideoStream) -> None:
        own: Any = stream.codec_context
        self._decoder = _set_up(own)
        self._check = SliceCheck(own.name, own.extradata or b"")
        self._stricter = _STRICTER.get(own.name)

    def decode(self, packet: "av.Packet[av.VideoStream]") -> list[av.VideoFrame]:
        """The frames that a packet completes; the empty one at the end gives what is left.

        Raises DamagedDataError, or av.FFmpegError, where anything about the packet is wrong.
        """
        if packet.is_corrupt or (packet.size and self._check.is_damaged(bytes(packet))):
            raise DamagedDataError("the data is damaged")
        with logged_errors() as errors:
            frames: list[av.VideoFrame] = self._decoder.decode(packet)
            if self._stricter and packet.size:
                frames = self._exchange(packet, frames)
        if errors:
            raise DamagedDataError(f"decoding fails ({errors[0][1]})")
        if any(frame.is_corrupt for frame in frames):
            raise DamagedDataError("a damaged frame")
        return frames

    def _exchange(
        self, packet: "av.Packet[av.VideoStream]", frames: list[av.VideoFrame]
    ) -> list[av.VideoFrame]:
        """Go on with the stricter decoder, where it can take over, from the first packet on."""
        name, self._stricter = self._stricter, None
        # What the container says of the rotation reaches the stream's own decoder alone.
        if not frames or frames[0].rotation or frames[0].format.name != "yuv420p":
            return frames
        try:
            stricter: Any = av.CodecContext.create(name or "", "r")
        except av.codec.codec.UnknownCodecError:  # FFmpeg was built without it
            return frames
        self._decoder = _set_up(stricter)
        again: list[av.VideoFrame] = self._decoder.decode(packet)
        return again


def _set_up(decoder: Any) -> Any:
    decoder.thread_count = 1  # videos are decoded side by side, one process each
    # Otherwise a decoder says nothing of what it could not read.
    decoder.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
    return decoder
