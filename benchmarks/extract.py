"""Extraction against a bare loop on the same cores, and the memory of a worker on a long video.

    python benchmarks/extract.py --algorithm dis

The bare loop decodes to grey at the stored size, computes the same flow and throws it away: one
process and one OpenCV thread a core, as extraction has. "One core" is the same extraction with one job.
"wall" is the throughput of the whole run, with the start of the processes; "processor" is the ratio of
the processor time of all processes, which other load on the machine disturbs less. The long video is
synthetic, and its flow as cheap as DIS allows.
"""

import argparse
import multiprocessing
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import common
import cv2
import numpy as np

from flowcache import algorithms
from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.extraction.many import extract_folder
from flowcache.video.resize import Resize

CHEAPEST = {
    "finest_scale": 3,
    "patch_stride": 8,
    "gradient_descent_iterations": 1,
    "variational_refinement_iterations": 0,
}


def ours(
    videos: Path, algorithm: str, size: str, jobs: int, options: dict[str, object] | None = None
) -> int:
    """The fields of an extraction into a cache that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        cache = FlowCache.create(Path(folder), Recipe.of(algorithm, options, size=size))
        summary = extract_folder(videos, cache, jobs=jobs)
        if summary.failures:
            raise SystemExit(f"extraction failed: {summary.failures}")
        return summary.fields


def bare(videos: Path, algorithm: str, size: str, jobs: int) -> int:
    paths = sorted(videos.iterdir(), key=lambda path: -path.stat().st_size)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        fields = sum(pool.imap_unordered(bare_video, [(path, algorithm, size) for path in paths]))
        pool.close()
        pool.join()  # so that the processor time of the workers is counted
    return fields


def bare_video(task: tuple[Path, str, str]) -> int:
    cv2.setNumThreads(1)
    path, name, size = task
    grey = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            width, height = Resize.parse(size).of(frame.width, frame.height)
            grey.append(
                frame.to_ndarray(
                    format="gray", width=width, height=height, interpolation="BICUBIC", threads=1
                )
            )
    # In pieces, as extraction does: a field is still in the processor's cache when the next one comes.
    algorithm, fields = algorithms.create(name), 0
    for start in range(0, len(grey) - 1, 16):
        fields += len(algorithm(np.stack(grey[start : start + 17])))
    return fields


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(work: Callable[[], int]) -> tuple[float, float, int]:
    """Wall seconds, processor seconds of the children, fields."""
    wall, processor = time.perf_counter(), children_seconds()
    fields = work()
    return time.perf_counter() - wall, children_seconds() - processor, fields


def synthesise(path: Path, minutes: float) -> None:
    """A 320×240 video at 25 frames a second: texture that moves."""
    texture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    texture = cv2.resize(texture, (640, 480), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for t in range(round(minutes * 60 * 25)):
            x, y = round(150 + 150 * np.sin(t / 40)), round(110 + 110 * np.cos(t / 50))
            picture = np.ascontiguousarray(texture[y : y + 240, x : x + 320])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def peak_memory(minutes: float) -> float:
    """Of the one worker that extracts such a video, MB; the largest so far of this whole program."""
    with tempfile.TemporaryDirectory() as folder:
        synthesise(Path(folder) / "long.mp4", minutes)
        ours(Path(folder), "dis", "256", 1, CHEAPEST)
    return (
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    )  # Linux counts in KiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algorithm", default="tvl1")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--size", default="256", help="short side, or WxH")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--minutes", type=float, default=10, help="of the long video; 0 leaves it out"
    )
    options = parser.parse_args()
    name, size = options.algorithm, options.size
    jobs = common.cores()
    print(common.machine())
    if options.minutes:  # first: the counter keeps the maximum over all children
        rows = [
            [f"{m:g}", f"{peak_memory(m):.0f}"] for m in (options.minutes / 10, options.minutes)
        ]
        print(common.table(["minutes of video", "peak MB of its worker"], rows), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder)
        for clip in common.ucf101(-(-options.clips // 5))[: options.clips]:
            shutil.copy(clip, videos)
        works = [
            lambda: timed(lambda: ours(videos, name, size, jobs)),
            lambda: timed(lambda: bare(videos, name, size, jobs)),
            lambda: timed(lambda: ours(videos, name, size, 1)),
        ]
        common.alternate(works[:2], 1)  # compiles what has to be, fills the system's cache
        runs = common.alternate(works, options.repeats)
    rows = []
    for work, result in zip(("extraction", "bare loop", "one core"), runs, strict=True):
        wall, processor, fields = (statistics.median(x) for x in zip(*result, strict=True))
        rows.append(
            [work, f"{fields:.0f}", f"{fields / wall:.1f}", f"{1e3 * processor / fields:.2f}"]
        )
    print(common.table([name, "fields", "fields/s", "processor ms a field"], rows))
    gain = common.median_ratio([one[0] for one in runs[2]], [many[0] for many in runs[0]])
    print(f"{jobs} cores: {100 * gain / jobs:.0f} % of {jobs} x one core")
    for i, kind in enumerate(("wall", "processor")):
        share = common.median_ratio([b[i] for b in runs[1]], [a[i] for a in runs[0]])
        print(f"{kind}: extraction reaches {100 * share:.0f} % of the bare loop")


if __name__ == "__main__":
    main()
