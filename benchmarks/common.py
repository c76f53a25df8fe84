"""What the benchmarks share: the real videos, the machine's name, fair timing, and a table."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.extraction.one import Job, extract_video

T = TypeVar("T")
ROOT = Path(__file__).parents[1]


def data() -> Path:
    """The folder of real videos, which is not part of the project."""
    folder = Path(os.environ.get("TWOSTREAM_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"no videos at {folder}: set TWOSTREAM_TEST_DATA to the folder of them")
    return folder


def ucf101(per_class: int) -> list[Path]:
    """The first clip of each of the first groups of each UCF101 class."""
    classes = sorted(path for path in (data() / "ucf101" / "videos").iterdir() if path.is_dir())
    return [clip for folder in classes for clip in sorted(folder.glob("*_c01.avi"))[:per_class]]


def cache_of_ucf101(root: Path, recipe: Recipe, per_class: int) -> FlowCache:
    """A cache of these clips."""
    cache = FlowCache.create(root, recipe)
    for clip in ucf101(per_class):
        name = f"{clip.parent.name}/{clip.name}"
        extract_video(Job(clip, name, cache.path(name.removesuffix(".avi"))), recipe)
    return cache


def machine() -> str:
    """CPU model, cores and memory, where the system tells."""
    model = platform.processor() or platform.machine()
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        names = [x.partition(":")[2] for x in cpuinfo.read_text().splitlines() if "model name" in x]
        model = names[0].strip() if names else model
    memory = int(meminfo.read_text().split()[1]) / 2**20 if meminfo.exists() else float("nan")
    return f"{model}, {cores()} cores, {memory:.0f} GiB"


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def core_seconds(work: Callable[[], object]) -> float:
    """The processor time of work that waits for nothing: what it takes with a core to itself."""
    start = time.process_time()
    work()
    return time.process_time() - start


def alternate(works: Sequence[Callable[[], T]], repeats: int) -> list[list[T]]:
    """Run each in turn, again and again, so that whatever else the machine does hits all alike."""
    results: list[list[T]] = [[] for _ in works]
    for _ in range(repeats):
        for result, work in zip(results, works, strict=True):
            result.append(work())
    return results


def median_ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """The median, over the runs, of the ratio within one run."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, aligned."""
    lines = [list(header), ["-" * len(name) for name in header], *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = (
        [
            cell.ljust(width, "-" if cell.startswith("---") else " ")
            for cell, width in zip(line, widths, strict=True)
        ]
        for line in lines
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
