"""Write pictures and videos; each file is whole or not there."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import cv2

from flowcache.atomic import atomic_path
from flowcache.types import UInt8

_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 6)  # zlib's own default: a third less than OpenCV's
_REPEATABLE = {"fflags": "+bitexact"}  # no version or date among the bytes


def write_png(path: Path, picture: UInt8) -> None:
    """Write uint8 (H, W, 3) RGB as PNG; the file is whole or not there."""
    encoded = cv2.imencode(".png", picture[..., ::-1], _PNG)[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def write_video(
    path: Path,
    pictures: Iterable[UInt8],
    rate: float,
    codec: str = "",
    options: Mapping[str, str] | None = None,
) -> None:
    """Write uint8 (H, W, 3) RGB pictures, H and W even, as .mp4 or .avi, `rate` a second.

    codec, options: as FFmpeg names them; without, H.264 where this FFmpeg can write it, else MPEG-4
    part 2, which every FFmpeg can. The same pictures give the same bytes. ValueError where there is
    no picture.
    """
    if not codec:
        codec, options = _best_codec()
    iterator = iter(pictures)
    first = next(iterator, None)
    if first is None:
        raise ValueError(f"{path} would hold no picture")
    with (
        atomic_path(path) as temporary,  # its name does not end in what names the container
        av.open(
            str(temporary), "w", format=path.suffix[1:].lower(), options=_REPEATABLE
        ) as container,
    ):
        stream = container.add_stream(codec, Fraction(rate).limit_denominator(1001))
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # several need not divide the work alike each time
        stream.options = dict(options or {})
        for picture in chain([first], iterator):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _best_codec() -> tuple[str, Mapping[str, str]]:
    try:
        av.Codec("libx264", "w")
    except av.codec.codec.UnknownCodecError:
        return "mpeg4", {"qmin": "2", "qmax": "4"}
    return "libx264", {"crf": "18", "preset": "veryfast"}
