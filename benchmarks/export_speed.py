"""What a clip costs with onnxruntime beside PyTorch, with one thread and with two.

    python benchmarks/export_speed.py [MODEL:STREAM …] [--every] [--runs 7] [--threads 1 2]

Each model is made with fresh weights at its standard size for five classes, and exported to ONNX. The two
take turns on one random clip, after one turn to warm up. A figure is the median of the turns in ms,
of processor time with one thread and of time with two. Ratios are PyTorch over onnxruntime within a
turn. The difference is the largest of the logits', as `twostream export` prints it.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import common
import numpy as np
import onnxruntime
import torch

from flowcache import plugins
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from twostream import models
from twostream.data.clip_reader import Clip
from twostream.data.clip_spec import ClipSpec
from twostream.data.splits import Split
from twostream.data.streams import STREAMS
from twostream.exporting.export import compared
from twostream.exporting.formats import onnx
from twostream.exporting.random_clips import random_clip
from twostream.nets.normalize import Normalized
from twostream.prediction.onnx_network import INPUTS, OnnxNetwork
from twostream.runs.checkpoint import build_network
from twostream.runs.spec import Spec

CHOSEN = [
    "efficientnet_lite:spatial",
    "efficientnet_lite:temporal",
    "resnet:spatial",
    "i3d:temporal",
    "timesformer:spatial",
]


def spec_of(name: str, stream: str) -> Spec:
    """The standard use of a model."""
    card = plugins.module(models, name).CARD
    return Spec(
        stream=stream,
        model=name,
        options={},
        classes=tuple("abcde"),
        clip=card.fill(ClipSpec(), stream, STREAMS[stream].length),
        recipe=Recipe.of("tvl1"),
        split=Split(train=(), validation=(), test=()),
    )


def pytorch(model: Normalized, clip: Clip, threads: int) -> Callable[[], object]:
    """One clip through PyTorch."""
    tensors = [torch.from_numpy(part) for part in clip]

    def run() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return model(*tensors)

    return run


def runtime(file: Path, clip: Clip, threads: int) -> Callable[[], object]:
    """One clip through onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
    values = dict(zip(INPUTS, clip, strict=True))
    return lambda: session.run(None, values)


def timed(work: Callable[[], object], threads: int) -> Callable[[], float]:
    """Seconds of the processor with one thread, of the clock with more."""

    def by_the_clock() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return by_the_clock if threads > 1 else lambda: common.core_seconds(work)


def measure(name: str, stream: str, runs: int, threads: Sequence[int]) -> Sequence[str]:
    """A row of the table."""
    spec = spec_of(name, stream)
    torch.manual_seed(0)
    model = build_network(spec).eval()
    side, length = spec.clip.crop, spec.clip.length
    row = [name, stream, f"{length} × {side}"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        started = time.perf_counter()
        try:
            onnx.write(model, spec, file)
        except UserError as error:
            return [*row, str(error)]
        took = time.perf_counter() - started
        difference = compared(model, spec, OnnxNetwork.load(file).logits)
        row += [f"{file.stat().st_size / 1e6:.0f}", f"{took:.0f}"]
        row += [f"{difference.largest:.1e} of {difference.logits:.2g}"]
        clip = random_clip(spec, 1, np.random.default_rng(1))
        for count in threads if runs else ():
            works = [pytorch(model, clip, count), runtime(file, clip, count)]
            for work in works:
                work()
            first, second = common.alternate([timed(work, count) for work in works], runs)
            row += [f"{1000 * statistics.median(one):.1f}" for one in (first, second)]
            row += [f"{common.median_ratio(first, second):.2f}"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=CHOSEN, metavar="MODEL:STREAM")
    parser.add_argument("--every", action="store_true", help="every model, on both streams")
    parser.add_argument("--runs", type=int, default=7, help="turns; 0: compare the logits alone")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    if given.every:
        given.models = [f"{n}:{s}" for n in plugins.names(models) for s in ("spatial", "temporal")]
    print(f"{common.machine()}; torch {torch.__version__}, onnxruntime {onnxruntime.__version__}\n")
    header = ["model", "stream", "clip", "MB", "s to export", "difference"]
    for count in given.threads if given.runs else ():
        header += [f"PyTorch, {count}", f"onnxruntime, {count}", "ratio"]
    rows = []
    for name, _, stream in (one.partition(":") for one in given.models):
        rows.append(measure(name, stream, given.runs, given.threads))
        print("|", " | ".join(rows[-1]), "|", flush=True)
    print()
    print(common.table(header, [[*row, *[""] * (len(header) - len(row))] for row in rows]))


if __name__ == "__main__":
    main()
