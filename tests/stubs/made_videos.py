"""Videos whose every frame is known, written by the tests themselves."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from flowcache.video.decode import BrokenVideoError, Resize, Video

BITS = 6
COUNT = 20  # of the frames of the `videos` fixture
FULL = Resize(short_side=4000)


@dataclass(frozen=True)
class Format:
    """A container and a codec that FFmpeg can write."""

    suffix: str
    codec: str
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        extra = "".join(f"-{k}{v}" for k, v in self.container_options.items())
        return f"{self.codec}{self.suffix}{extra}"


MPEG4_AVI = Format(".avi", "mpeg4", options={"qscale": "3", "flags": "+qscale"})
MJPEG_AVI = Format(".avi", "mjpeg", "yuvj420p", {"qscale": "3", "flags": "+qscale"})
H264_MP4 = Format(".mp4", "libx264", options={"bf": "3", "crf": "18", "threads": "1"})
H264_FAST_MP4 = Format(
    ".mp4", "libx264", options={"bf": "2"}, container_options={"movflags": "faststart"}
)
H264_MKV = Format(".mkv", "libx264", options={"bf": "2", "crf": "18"})
MPEG4_MOV = Format(".mov", "mpeg4", options={"bf": "2", "qscale": "3", "flags": "+qscale"})
VP9_WEBM = Format(".webm", "libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"})
VP8_WEBM = Format(".webm", "libvpx", options={"deadline": "realtime", "cpu-used": "8"})
FFV1_MKV = Format(".mkv", "ffv1", "bgr0", {"level": "3", "slicecrc": "1", "slices": "4"})
HEVC_MP4 = Format(".mp4", "libx265", "yuv444p10le", {"x265-params": "log-level=none:pools=1"})
MPEG2_MPG = Format(".mpg", "mpeg2video", options={"qscale": "3", "flags": "+qscale", "bf": "2"})
H264_TS = Format(".ts", "libx264", options={"bf": "2"})
FLV = Format(".flv", "flv", options={"qscale": "3", "flags": "+qscale"})
WMV = Format(".wmv", "wmv2", options={"qscale": "3", "flags": "+qscale"})

ALL_FORMATS = [
    MPEG4_AVI,
    MJPEG_AVI,
    H264_MP4,
    H264_FAST_MP4,
    H264_MKV,
    MPEG4_MOV,
    VP9_WEBM,
    VP8_WEBM,
    FFV1_MKV,
    HEVC_MP4,
    MPEG2_MPG,
    H264_TS,
    FLV,
    WMV,
]
# Containers that state the length of their parts, so that a cut can be told.
WHOLE_FORMATS = [
    MPEG4_AVI,
    MJPEG_AVI,
    H264_MP4,
    H264_FAST_MP4,
    H264_MKV,
    MPEG4_MOV,
    VP9_WEBM,
    VP8_WEBM,
    FFV1_MKV,
    HEVC_MP4,
]


def scene(
    height: int, width: int, dx: float = 0.0, dy: float = 0.0, seed: int = 0, period: float = 12.0
) -> np.ndarray:
    """A smooth grey texture, moved by exactly (dx, dy) pixels: float64 (H, W) within 0 to 255."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(float)
    total = np.zeros((height, width))
    for _ in range(24):
        angle, length = random.uniform(0, 2 * np.pi), random.uniform(0.6, 2.5) * period
        phase = random.uniform(0, 2 * np.pi)
        along = np.cos(angle) * (x - dx) + np.sin(angle) * (y - dy)
        total += np.cos(2 * np.pi * along / length + phase)
    return np.clip(128 + total * 18, 0, 255)


def moving_scene(
    frames: int, height: int, width: int, dx: float, dy: float, seed: int = 0
) -> np.ndarray:
    """`scene` moving by (dx, dy) per frame, as grey uint8 (T, H, W)."""
    stack = [scene(height, width, t * dx, t * dy, seed) for t in range(frames)]
    return np.rint(np.stack(stack)).astype(np.uint8)


ODD_SIZES = [
    *((1, 1), (1, 2), (2, 1), (1, 50), (50, 1), (3, 3), (7, 100), (15, 15), (17, 16), (127, 129))
]
HARD_CASES = ["noise", "black to white", "half black", "steps"]


def hard_case(kind: str, height: int, width: int) -> np.ndarray:
    """Two frames between which there is no honest motion: uint8 (2, H, W)."""
    y, x = np.mgrid[:height, :width]
    random = np.random.default_rng(height * 1000 + width)
    first, second = {
        "noise": random.integers(0, 256, (2, height, width)),
        "black to white": (np.zeros((height, width)), np.full((height, width), 255)),
        "half black": (255 * (x < width / 2), 255 * (y < height / 2)),
        "steps": (x // 5 % 2 * 255, (x + 3) // 5 % 2 * 255),
    }[kind]
    return np.stack([first, second]).astype(np.uint8)


def numbered_frames(count: int, height: int = 48, width: int = 72) -> np.ndarray:
    """uint8 (T, H, W, 3); frame t shows t in binary, as six columns that are dark or bright."""
    frames = np.empty((count, height, width, 3), np.uint8)
    for t in range(count):
        frames[t] = (0.3 * scene(height, width, 0.4 * t, 0.2 * t)).astype(np.uint8)[..., None]
        for bit in range(BITS):
            left, right = bit * width // BITS, (bit + 1) * width // BITS
            frames[t, :, left:right] += np.uint8(150 if t >> bit & 1 else 10)
    return frames


def read_number(rgb: np.ndarray) -> int:
    """The number that a frame of `numbered_frames` shows."""
    bright = [column.mean() > 125 for column in np.array_split(rgb, BITS, axis=1)]
    return sum(1 << bit for bit, on in enumerate(bright) if on)


def write_video(
    path: Path,
    frames: np.ndarray,
    how: Format = MPEG4_AVI,
    rate: int | Fraction = 25,
    title: str | None = None,
    gop: int = 8,
) -> Path:
    """Encode uint8 (T, H, W, 3) or (T, H, W)."""
    if frames.ndim == 3:
        frames = np.repeat(frames[..., None], 3, axis=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=how.container_options) as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(how.codec, rate=rate, options=how.options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = how.pixels
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        for rgb in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def write_two_classes(folder: Path, groups: int) -> None:
    """Tiny videos of the classes "still" and "moving", a group each, named as UCF101 names them."""
    for name, speed in (("still", 0.0), ("moving", 3.0)):
        for n in range(groups):
            frames = moving_scene(7, 24, 32, speed, 0.0, seed=n)
            write_video(folder / name / f"v_{name}_g{n + 1:02}_c01.avi", frames, MJPEG_AVI)


def write_small_videos(folder: Path, names: Sequence[str]) -> None:
    """Small videos, each a field longer and faster than the one before."""
    for i, name in enumerate(names):
        write_video(folder / name, moving_scene(6 + i, 40, 56, 1.0 + i, -0.5, seed=i))


def write_changing_size(path: Path, sizes: Sequence[tuple[int, int]], each: int) -> Path:
    """An AVI of JPEG frames whose (height, width) changes in the middle."""
    with av.open(str(path), "w") as container:
        out: Any = None
        count = 0
        for height, width in sizes:
            encoder: Any = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuvj420p"
            encoder.time_base = Fraction(1, 25)
            if out is None:
                out = container.add_stream("mjpeg", rate=25)
                out.height, out.width, out.pix_fmt = height, width, "yuvj420p"
            for _ in range(each):
                rgb = np.full((height, width, 3), 10 * count, np.uint8)
                for packet in encoder.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                    packet.stream = out
                    packet.pts = packet.dts = count
                    packet.time_base = Fraction(1, 25)
                    container.mux(packet)
                count += 1
    return path


def turn_mp4(path: Path, quarter_turns_clockwise: int) -> None:
    """Write a turn into the track header's matrix (ISO/IEC 14496-12, 8.3.2) by hand."""
    a, b = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns_clockwise]
    one = 1 << 16
    matrix = struct.pack(">9i", a * one, b * one, 0, -b * one, a * one, 0, 0, 0, 1 << 30)
    raw = bytearray(path.read_bytes())
    start = raw.index(b"tkhd") + 4 + 40
    assert raw[start : start + 36] == struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    raw[start : start + 36] = matrix
    path.write_bytes(raw)


def decode_plainly(path: Path) -> np.ndarray:
    """Frames as PyAV gives them, with nothing of ours: uint8 (T, H, W, 3)."""
    with av.open(str(path), metadata_errors="replace") as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def decode(path: Path, resize: Resize = FULL) -> tuple[list[np.ndarray], list[float], str]:
    """All frames, all time stamps, and why it broke, empty where it did not; decoded by us."""
    rgb: list[np.ndarray] = []
    times: list[float] = []
    try:
        with Video(path) as video:
            for batch in video.frames(resize):
                rgb += list(batch.rgb)
                times += batch.times.tolist()
    except BrokenVideoError as error:
        return rgb, times, str(error)
    return rgb, times, ""


def numbers(rgb: Sequence[np.ndarray]) -> list[int]:
    """What `numbered_frames` frames show."""
    return [read_number(frame) for frame in rgb]


def packet_ends(path: Path) -> list[int]:
    """Where each packet of the video ends in the file, in bytes."""
    with av.open(str(path), metadata_errors="replace") as container:
        packets = [p for p in container.demux(video=0) if p.size and p.pos is not None]
        return sorted(p.pos + p.size for p in packets)
