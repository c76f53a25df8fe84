"""`predict --timeline` of long videos: time against length, and memory.

    python benchmarks/predict_long.py runs/spatial runs/temporal --minutes 1 10 60

A video of a minute is made of UCF101's clips, one behind the other (320×240, H.264, 25 a second), and its
packets are repeated until it is long enough. Each length is predicted by a process of its own. "Time" is
by the clock and "processor" is that of all processes, both as shares of the video's length. "Start" is
the memory that the process holds when its networks are loaded, before the first frame; "peak" is the most
that it ever held, and "decoding" the most that its child held, which decodes and computes the flow.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import av
import common
import numpy as np

from flowcache.types import UInt8
from flowcache.video.decode import Video
from flowcache.video.resize import Resize
from twostream.prediction.predict import Predictor
from twostream.timeline.options import TimelineOptions
from twostream.timeline.predict import predict_timeline

RATE = 25
SIZE = (320, 240)


def frames_of_clips() -> Iterator[UInt8]:
    """Frames of the first clips of each class, again and again."""
    for clip in cycle(common.ucf101(2)):
        with Video(clip) as video:
            for batch in video.frames(Resize.parse("{}x{}".format(*SIZE))):
                yield from batch


def write_minute(path: Path, seconds: float) -> None:
    """A video of so many seconds; no frame refers to a later one, so that it can be repeated."""
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "bf": "0"}
        stream: Any = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for _, rgb in zip(range(round(seconds * RATE)), frames_of_clips(), strict=False):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def repeat(source: Path, path: Path, times: int) -> None:
    """The packets of a video, so many times."""
    with av.open(str(path), "w") as out:
        stream: Any = None
        offset = 0
        for _ in range(times):
            with av.open(str(source)) as container:
                given = container.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(given)
                end = offset
                for packet in container.demux(given):
                    if packet.size == 0 or packet.pts is None or packet.dts is None:
                        continue
                    packet.pts += offset
                    packet.dts += offset
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.stream = stream
                    out.mux(packet)
                offset = end


def held(process: str, what: str) -> float:
    """Memory of a process in MB: `VmRSS`, what it holds, or `VmHWM`, the most that it held."""
    try:
        lines = Path("/proc", process, "status").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith(what)), 0.0)


class Children:
    """Watches the most that any child of this process holds."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Children":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            for listed in Path("/proc/self/task").glob("*/children"):
                for child in listed.read_text().split():
                    self.peak = max(self.peak, held(child, "VmHWM"))


def measure(video: Path, runs: list[Path], options: TimelineOptions) -> dict[str, float]:
    """What one video takes; in a process of its own."""
    predictor = Predictor(runs)
    start, before = held("self", "VmRSS"), time.monotonic()
    spent = processor()
    with Children() as children:
        timeline = predict_timeline(predictor, video, options)
    return {
        "seconds": float(timeline.edges[-1] - timeline.edges[0]),
        "time": time.monotonic() - before,
        "processor": processor() - spent,
        "start": start,
        "peak": held("self", "VmHWM"),
        "decoding": children.peak,
        "parts": len(timeline.edges) - 1,
    }


def processor() -> float:
    """Seconds of this process and of the children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Make the videos, predict each, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--hop", type=float)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.runs, TimelineOptions(hop=given.hop))))
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="twostream-") as folder:
        minute, long = Path(folder, "minute.mp4"), Path(folder, "long.mp4")
        write_minute(minute, min(60.0, 60 * min(given.minutes)))
        for minutes in given.minutes:
            repeat(minute, long, max(1, round(minutes / min(1.0, min(given.minutes)))))
            words = [sys.executable, __file__, *map(str, given.runs), "--one", str(long)]
            words += ["--hop", str(given.hop)] if given.hop else []
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            got = json.loads(done.stdout)
            rows.append(
                [
                    f"{got['seconds'] / 60:.1f}",
                    f"{got['parts']:.0f}",
                    *(f"{got[name] / got['seconds']:.2f}" for name in ("time", "processor")),
                    *(f"{got[name]:.0f}" for name in ("start", "peak", "decoding")),
                ]
            )
            print(rows[-1], flush=True)
    print(common.machine())
    header = ["minutes", "parts", "time", "processor", "start MB", "peak MB", "decoding MB"]
    print(common.table(header, rows))


if __name__ == "__main__":
    main()
