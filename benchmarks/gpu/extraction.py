"""Extraction with a GPU against extraction without; for `gpu_flow`."""

import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import common
import numpy as np

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.extraction.one import Job, extract_video, find_videos
from flowcache.types import Codes, UInt8
from flowcache.workers.client import Here
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


class Free(Here):
    """Flow that costs nothing: the first field that there was of this size, again and again."""

    first: ClassVar[dict[tuple[int, ...], Codes]] = {}

    def put(self, gray: UInt8) -> None:
        """As `Here.put`."""
        size = gray.shape[1:]
        if size not in self.first:
            super().put(gray[:2])
            self.first[size] = self.take()[0]
        self._done.append((np.repeat(self.first[size], len(gray) - 1, 0), 0))


def packed(videos: Path) -> float:
    """Fields/s that one core decodes, encodes as JPEG and packs, with all compiled and all in memory."""
    size: dict[str, Any] = {
        "frame_step": 1,
        "size": "256",
        "bound": 20.0,
        "quantizer_step": 20 / 127,
    }
    recipe = Recipe.of("dis", {}, jpeg_quality=90, **size)

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            jobs = [Job(path, path.name, Path(folder) / path.name) for path in some]
            return sum(extract_video(job, recipe).fields for job in jobs)

    some = find_videos(videos)[0][:CLIPS]
    with mock.patch("flowcache.extraction.one.flow_source", lambda recipe, address: Free(recipe)):
        return work() / common.core_seconds(work)
