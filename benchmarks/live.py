"""How fast live labels come, and how soon after their frames, with each flow algorithm.

    python benchmarks/live.py --run runs/spatial --run runs/temporal
    python benchmarks/live.py --run runs/spatial --run runs/temporal --algorithm dis --minutes 30

A clip of UCF101 (320×240) is played at its own pace, again and again, as a camera would give it. The
time of a label is from the moment at which its newest frame is there to be decoded until the label is
there. "Cores" is the processor time of all threads over the time that passed. With --minutes, one
algorithm runs for so long, and the memory that the process holds is told along the way.

On a machine with other work these say little. So the last columns have the processor time that each
thread takes for a frame or a label, one after the other, each library with one thread; the slower of flow
and label bounds the rate, where each has a core.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from threading import Event

import common
import psutil
from threadpoolctl import threadpool_limits

from flowcache import algorithms, plugins
from flowcache.extraction.one import one_opencv_thread
from twostream.live.capture import Capture, Captured, Stored
from twostream.live.clock import WallClock
from twostream.live.mailbox import Mailbox
from twostream.live.motion import Motion, Moved
from twostream.live.pipeline import Live, Statistics
from twostream.live.setup import labeller_of
from twostream.live.source import File, Picture
from twostream.prediction.predict import Predictor

VARIANTS = (
    ("dis", "finest_scale=2 patch_stride=4 gradient_descent_iterations=16"),
    ("dis", ""),
    ("tvl1", "profile=fast"),
    ("tvl1", "profile=accurate"),
    ("farneback", ""),
)


class Repeated(File):
    """A file that begins again when it ends."""

    def __iter__(self) -> Iterator[Picture]:
        start = 0.0
        while True:
            last = 0.0
            for picture, stamp in super().__iter__():
                last = last + 1 / self.rate if stamp is None else stamp
                yield picture, start + last
            start += last + 1 / self.rate


def measured(
    predictor: Predictor,
    clip: Path,
    algorithm: str,
    words: str,
    seconds: float,
    on_label: Callable[[], None] = lambda: None,
) -> tuple[Statistics, float]:
    """What a run of so many seconds gives, and how many cores it kept busy."""
    options = plugins.parse_options(algorithms, algorithm, words.split())
    labeller, _ = labeller_of(predictor, seconds=1.0, algorithm=algorithm, options=options)
    with Live(Repeated(clip), labeller, seconds=seconds) as live:
        labels = iter(live)
        next(labels)  # not what is loaded and compiled before it
        start = time.perf_counter(), time.process_time()
        for _ in labels:
            on_label()
    wall, busy = time.perf_counter() - start[0], time.process_time() - start[1]
    return live.statistics, busy / wall


def stages(
    predictor: Predictor, clip: Path, algorithm: str, words: str, frames: int
) -> tuple[float, float, float]:
    """Milliseconds of processor time: to capture a frame, for its flow, and for its label."""

    class Beginning(File):
        def __iter__(self) -> Iterator[Picture]:
            return islice(super().__iter__(), frames)

    class Timeless(WallClock):
        def wait_until(self, moment: float, stopped: Event) -> None:
            pass

    options = plugins.parse_options(algorithms, algorithm, words.split())
    labeller, _ = labeller_of(predictor, seconds=1.0, algorithm=algorithm, options=options)
    stored = [Stored(recipe.resize, recipe.frame_step) for recipe in labeller.recipes]
    mailbox = Mailbox[Captured](frames)
    capture = Capture(Beginning(clip), stored, Timeless(), mailbox, Event())
    motion = Motion(labeller.recipes, labeller.reads_flow)
    moved: list[Moved] = []

    def label_all() -> None:
        for one in moved:
            labeller.add(one)
            labeller.label()

    with one_opencv_thread(), threadpool_limits(1):
        capturing = common.core_seconds(capture.run)
        captured = mailbox.take()
        labeller.rehearse(motion(captured[1]))
        flow = common.core_seconds(lambda: moved.extend(map(motion, captured)))
        labels = common.core_seconds(label_all)
    first, second, third = (1000 * one / len(captured) for one in (capturing, flow, labels))
    return first, second, third


def row(algorithm: str, words: str, statistics: Statistics, busy: float) -> list[str]:
    """Of the table."""
    short = "preset fast" if "finest_scale" in words else words
    return [
        algorithm,
        short,
        f"{statistics.captured / statistics.seconds:.1f}",
        f"{statistics.labels / statistics.seconds:.1f}",
        f"{1000 * statistics.median:.0f}",
        f"{1000 * statistics.slowest:.0f}",
        f"{statistics.dropped / statistics.captured:.1%}",
        f"{busy:.2f}",
    ]


class Memory:
    """Prints what this process holds, once a minute."""

    def __init__(self) -> None:
        self._process, self._start, self._said = psutil.Process(), time.monotonic(), 0
        self.megabytes: list[float] = []

    def __call__(self) -> None:
        """A label has come."""
        minute = int((time.monotonic() - self._start) / 60)
        if minute > self._said or not self.megabytes:
            self._said = minute
            self.megabytes.append(self._process.memory_info().rss / 1e6)
            print(f"minute {minute}: {self.megabytes[-1]:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, action="append", required=True)
    parser.add_argument("--clip", type=Path, help="by default one of UCF101's")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each algorithm")
    parser.add_argument("--frames", type=int, default=60, help="of which processor time is taken")
    parser.add_argument("--repeats", type=int, default=1, help="of which the median one is shown")
    parser.add_argument("--algorithm", help="this one alone, as dis")
    parser.add_argument("--minutes", type=float, default=0.0, help="run it for so long")
    options = parser.parse_args()
    clip = options.clip or common.ucf101(1)[0]
    predictor = Predictor(options.run)
    print(f"{common.machine()}, load {os.getloadavg()[0]:.1f}; {clip.name}")
    for network in predictor.networks:
        spec = network.spec
        print(f"{spec.stream}: {spec.model}, {spec.clip.length} × {spec.clip.crop} px")
    variants = [one for one in VARIANTS if options.algorithm in (None, one[0])]
    header = [
        "algorithm",
        "options",
        "frames/s",
        "labels/s",
        "p50 ms",
        "p95 ms",
        "dropped",
        "cores",
    ]
    rows = []
    if options.minutes:
        algorithm, words = variants[0]
        memory = Memory()
        result = measured(predictor, clip, algorithm, words, 60 * options.minutes, memory)
        rows.append(row(algorithm, words, *result))
        print(f"largest: {max(memory.megabytes):.0f} MB, last: {memory.megabytes[-1]:.0f} MB")
    else:
        works = [
            lambda one=one: measured(predictor, clip, *one, options.seconds) for one in variants
        ]
        for one, results in zip(variants, common.alternate(works, options.repeats), strict=True):
            results.sort(key=lambda result: result[0].slowest)
            spent = stages(predictor, clip, *one, options.frames)
            rows.append(row(*one, *results[len(results) // 2]) + [f"{ms:.1f}" for ms in spent])
        header += ["ms a capture", "ms a flow", "ms a label"]
    print(common.table(header, rows))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
