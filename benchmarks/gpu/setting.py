"""What `gpu_flow` measures on and with: the device, its frames, its clock."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import common
import cv2
import numpy as np
import torch
from torch import Tensor

from flowcache import algorithms
from flowcache.types import Float32, UInt8

PROFILES = ("accurate", "fast", "opencv")
FRAMES = 65  # of a clip: 64 pairs; larger batches take several clips, or the same again
CLIPS = 8
SPAN = 5.0  # s that the runs of one comparison may take together


@dataclass(eq=False)
class Setting:
    """Where and on what is measured.

    changed: options of all algorithms, beside the profile.
    best: the fastest batch of each profile, once it is known.
    """

    device: str = "cuda"
    sizes: Sequence[tuple[int, int]] = ((340, 256), (320, 240), (640, 480))
    batches: Sequence[int] = (1, 8, 32, 64, 128, 256, 512)
    repeats: int = 5
    changed: dict[str, Any] = field(default_factory=dict)
    best: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROFILES, 128))
    videos: Path | None = None
    middlebury: Path | None = None
    jobs: int = field(default_factory=common.cores)

    @property
    def on_gpu(self) -> bool:
        """Otherwise on the CPU, with the host's clock."""
        return self.device != "cpu"

    def tvl1(self, backend: str, profile: str, **options: Any) -> Any:
        """TV-L1 by one of its backends."""
        return algorithms.create("tvl1", backend, profile=profile, **self.changed, **options)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def forget(self) -> None:
        """Give back memory, so that what comes next finds all of it."""
        if self.on_gpu:
            torch.cuda.empty_cache()


def tiny(**given: Any) -> Setting:
    """For Triton's interpreter, which is slow."""
    return Setting(
        device="cpu",
        sizes=[(24, 20)],
        batches=(1, 2),
        repeats=1,
        changed={"warps": 1, "inner_iterations": 6, "outer_iterations": 1},
        best=dict.fromkeys(PROFILES, 2),
        **given,
    )


# Frames


@cache
def clips(setting: Setting, size: tuple[int, int]) -> list[Tensor]:
    """uint8 (T, H, W) each, on the device."""
    frames = min(FRAMES, max(setting.batches) + 1)
    videos = setting.videos
    found = decoded(videos, size, frames) if videos else [rendered(*size, frames)]
    return [torch.from_numpy(clip).to(setting.device) for clip in found]


def stacks(setting: Setting, size: tuple[int, int], pairs: int) -> list[Tensor]:
    """So many pairs of frames."""
    taken: list[Tensor] = []
    clips_again = cycle(clips(setting, size))
    while pairs:
        taken.append(next(clips_again)[: pairs + 1])
        pairs -= len(taken[-1]) - 1
    return taken


def decoded(folder: Path, size: tuple[int, int], frames: int) -> list[UInt8]:
    """The beginnings of the first videos, gray."""
    from flowcache.extraction.videos import find_videos
    from flowcache.video.decode import Video
    from flowcache.video.resize import Resize

    found = []
    for path in find_videos(folder).videos[:CLIPS]:
        gray: list[Any] = []
        with Video(path) as video:
            for batch in video.frames(Resize(exact=size)):
                gray += [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in batch]
                if len(gray) >= frames:
                    break
        found.append(np.stack(gray[:frames]))
    return [clip for clip in found if len(clip) > 1]


def rendered(width: int, height: int, frames: int) -> UInt8:
    """Discs that each move and turn in their own way before a ground that moves too: (T, H, W)."""
    random = np.random.default_rng(0)
    side = 2 * max(width, height)
    centre = np.array([side / 2, side / 2])
    rows, columns = np.ogrid[:side, :side]
    away = np.hypot(rows - side / 2, columns - side / 2)
    layers = []
    for radius in (side, *random.uniform(0.08, 0.25, 5) * side / 2):  # the ground first
        ground = radius == side
        place = (0.5 if ground else random.uniform(0.2, 0.8, 2)) * np.array([width, height])
        speed = random.uniform(-1, 1, 2) * (0.004 if ground else 0.012) * side
        texture, edge = textured(random, side), np.clip(radius - away, 0, 1).astype(np.float32)
        layers.append((texture, edge, place, speed, random.uniform(-1, 1)))
    video = []
    for t in range(frames):
        picture = np.zeros((height, width), np.float32)
        for texture, edge, place, speed, turn in layers:
            swing = 8 * np.sin(t / 8) * speed  # back and forth
            motion = cv2.getRotationMatrix2D(tuple(centre), 8 * turn * np.sin(t / 8), 1.0)
            motion[:, 2] += place + swing - centre
            here, share = (
                cv2.warpAffine(image, motion, (width, height), flags=cv2.INTER_CUBIC)
                for image in (texture, edge)
            )
            picture += np.clip(share, 0, 1) * (here - picture)
        video.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    return np.stack(video)


def textured(random: np.random.Generator, side: int) -> Float32:
    """Noise of several widths, gray levels."""
    picture: Any = np.full((side, side), random.uniform(90, 160), np.float32)
    for width, contrast in ((3, 12), (8, 20), (32, 25)):
        noise = random.normal(0, contrast, (-(-side // width),) * 2).astype(np.float32)
        picture = picture + cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return picture


# Clocks


def seconds(setting: Setting, work: Callable[[], object]) -> float:
    """The device's time from the first operation to the end of the last, gaps included."""
    if not setting.on_gpu:
        return enqueuing(setting, work)
    setting.synchronize()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    setting.synchronize()
    return start.elapsed_time(end) / 1e3


def enqueuing(setting: Setting, work: Callable[[], object]) -> float:
    """The host's time until all is under way."""
    setting.synchronize()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def runs(setting: Setting, *works: Callable[[], object]) -> list[Sequence[float]]:
    """The times of each, taking turns, after one run that compiles."""
    for work in works:
        work()
    rounds: list[list[float]] = []
    start = time.monotonic()
    while len(rounds) < setting.repeats and (len(rounds) < 3 or time.monotonic() < start + SPAN):
        rounds.append([seconds(setting, work) for work in works])
    return list(zip(*rounds, strict=True))


def median_seconds(setting: Setting, work: Callable[[], object]) -> float:
    return statistics.median(runs(setting, work)[0])


def agreement(flow: Any, expected: Any) -> list[str]:
    """Of flow (…, 2, H, W): the share within 0.1 px, the mean and the largest distance."""
    distance = np.hypot(*np.moveaxis(host(flow) - host(expected), -3, 0))
    return [f"{(distance < 0.1).mean():.2%}", f"{distance.mean():.5f}", f"{distance.max():.3g}"]


def host(flow: Any) -> Float32:
    """As an array."""
    array: Float32 = flow.cpu().numpy() if isinstance(flow, Tensor) else flow
    return array


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def show(header: Sequence[str], rows: Sequence[Sequence[str]], about: str) -> None:
    print(f"{about}:\n\n{common.table(header, rows)}\n", flush=True)
