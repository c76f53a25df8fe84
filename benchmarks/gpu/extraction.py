"""Extraction with a GPU against extraction without; for `gpu_flow`."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import common
import numpy as np

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.extraction.one import Job, extract_video
from flowcache.extraction.videos import find_videos
from flowcache.quantize import Quantizer
from flowcache.types import Codes, FlowAlgorithm, UInt8
from flowcache.workers.device_client import flow_here
from gpu.setting import CLIPS, Setting, number, show


def compare(setting: Setting) -> None:
    """Whole commands, their start included; the first round compiles and is not counted."""
    assert setting.videos
    devices = ["cuda" if setting.on_gpu else "cpu", "cpu"]
    works = [partial(extracted, setting.videos, device, setting.jobs) for device in devices]
    times = common.alternate(works, 1 + min(3, setting.repeats))
    gpu, cpu = (statistics.median(mine[1:]) for mine in times)
    faster = common.median_ratio(times[0][1:], times[1][1:])
    most = setting.jobs * packed(setting.videos)
    header = [f"--device {devices[0]}", "--device cpu", "ratio", "decoding, JPEG, packing alone"]
    line = [number(gpu), number(cpu), f"{faster:.2f}", f"{number(most)} at most"]
    show(header, [line], f"extract-flow, fields/s, {setting.jobs} jobs")


def extracted(videos: Path, device: str, jobs: int) -> float:
    """Fields/s of a command."""
    with tempfile.TemporaryDirectory() as folder:
        cache = str(Path(folder) / "cache")
        command = [sys.executable, str(common.ROOT / "cli.py"), "extract-flow", str(videos)]
        command += ["--cache", cache, "--device", device, "--jobs", str(jobs)]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        took = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError((done.stderr or done.stdout).strip().rpartition("\n")[2])
        infos = [info for _, info in FlowCache.open(Path(cache)).infos()]
        return sum(info.fields for info in infos) / took


def free_flow() -> Callable[..., Iterator[tuple[Codes, int]]]:
    """As `flow_here`, but free: the first field that there was of a size, again and again."""
    first: dict[tuple[int, ...], Codes] = {}

    def flow(
        windows: Iterable[UInt8],
        algorithm: FlowAlgorithm,
        step: int,
        quantizer: Quantizer,
        backward: bool,
    ) -> Iterator[tuple[Codes, int]]:
        for gray in windows:
            size = gray.shape[1:]
            if size not in first:
                few = [gray[: step + 1]]
                ((first[size], _),) = flow_here(few, algorithm, step, quantizer, backward)
            yield np.repeat(first[size], len(gray) - step, 0), 0

    return flow


def packed(videos: Path) -> float:
    """Fields/s that one core decodes, encodes as JPEG and packs, with all compiled and all in memory."""
    recipe = Recipe.of("dis")

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            jobs = [Job(path, path.name, Path(folder) / path.name) for path in some]
            return sum(extract_video(job, recipe).fields for job in jobs)

    some = find_videos(videos).videos[:CLIPS]
    with mock.patch("flowcache.extraction.one.flow_here", free_flow()):
        return work() / common.core_seconds(work)
