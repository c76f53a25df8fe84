"""What a training spends its time on: waiting for clips, computing, and writing checkpoints.

    python benchmarks/train.py

Some clips of UCF101 are extracted with DIS. "Waiting" is the share of an epoch in which the loop has no
batch to compute on, with one process that loads clips. "Checkpoints" is the share of a whole run, scoring
included, that its checkpoints take. Clips a second are of whole steps with the optimiser's.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import common
import lightning
import torch

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from twostream import stages
from twostream.data.index import read_index
from twostream.data.splits import Split
from twostream.learning import spec_of
from twostream.option_fields import from_flat
from twostream.runs.checkpoint import build_network
from twostream.runs.training_options import TrainOptions
from twostream.training.data import ClipData
from twostream.training.module import Classification, Training

MODELS = ("efficientnet_lite", "resnet", "conv_gru", "c3d", "tiny")


def epoch(cache: FlowCache, stream: str, model: str, batches: int, workers: int) -> list[float]:
    """Seconds of waiting, seconds in all, and how many clips there were; the first batch is left out."""
    options = from_flat(TrainOptions, {"stream": stream, "model": model, "batch_size": 8})
    index = read_index(cache)
    empty = Split((), (), ())
    spec = spec_of(options, cache, index.classes, empty)
    training = Training(
        build_network(spec), Classification(len(index.classes)), options.schedule, lambda _: None
    )
    training.log = lambda *_, **__: None  # there is no trainer to log to
    optimizer = torch.optim.AdamW(training.model.parameters(), 1e-4)
    data = ClipData(
        cache,
        index.items,
        (),
        spec.values,
        spec.clip,
        seed=0,
        batch_size=8,
        workers=workers,
        repeats=-(-(batches + 1) * 8 // len(index.items)),
    )
    waited, clips, start = 0.0, 0, 0.0
    loader = iter(data.train_dataloader())
    for number in range(batches + 1):
        before = time.perf_counter()
        batch = next(loader)
        after = time.perf_counter()
        if number > 0:
            waited += after - before
            clips += len(batch.clip)
        optimizer.zero_grad()
        training.training_step(batch, number).backward()
        optimizer.step()
        if number == 0:
            start = time.perf_counter()
    return [waited, time.perf_counter() - start, float(clips)]


def checkpoints(cache: FlowCache, stream: str, folder: Path) -> float:
    """The share of a run of the default model that its checkpoints take."""
    spent, save = 0.0, lightning.Trainer.save_checkpoint

    def timed(*args: object, **options: object) -> None:
        nonlocal spent
        start = time.perf_counter()
        save(*args, **options)
        spent += time.perf_counter() - start

    options = from_flat(
        TrainOptions, {"stream": stream, "jobs": 1, "clips": 1, "steps": 60, "validation_share": 0}
    )
    lightning.Trainer.save_checkpoint = timed
    start = time.perf_counter()
    try:
        stages.train(cache, folder, options)
    finally:
        lightning.Trainer.save_checkpoint = save
    return spent / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=6, help="of each UCF101 class")
    parser.add_argument("--size", default="256", help="of the stored frames")
    parser.add_argument("--batches", type=int, default=20, help="in an epoch")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = common.cache_of_ucf101(
            Path(folder) / "cache", Recipe.of("dis", size=options.size), options.clips
        )
        print(f"{common.machine()}; stored at {options.size}; batches of 8; 1 loading process")
        rows = []
        for model in MODELS:
            for stream in ("spatial", "temporal"):
                few = max(
                    2, options.batches // (1 if model in ("efficientnet_lite", "tiny") else 5)
                )
                runs = [epoch(cache, stream, model, few, 1) for _ in range(options.repeats)]
                share = statistics.median(waited / total for waited, total, _ in runs)
                rate = statistics.median(clips / total for _, total, clips in runs)
                rows.append([model, stream, f"{rate:.1f}", f"{100 * share:.1f} %"])
        print(common.table(["model", "stream", "clips/s", "waiting"], rows))
        for stream in ("spatial", "temporal"):
            share = checkpoints(cache, stream, Path(folder) / stream)
            print(f"checkpoints, {stream}: {100 * share:.1f} % of a run of 60 steps")


if __name__ == "__main__":
    main()
