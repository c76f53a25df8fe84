"""A protocol of seconds, as a program that can be killed; it is given a cache and a folder."""

import sys
from pathlib import Path

import torch

from flowcache.cache.store import FlowCache
from twostream.data.clip_spec import ClipSpec
from twostream.protocol import plan
from twostream.protocol.options import ProtocolOptions
from twostream.protocol.plan import Protocol
from twostream.protocol.work import work
from twostream.runs.training_options import Schedule, TrainerOptions, TrainOptions


def begin(cache: FlowCache, folder: Path) -> Protocol:
    """Two streams, two folds, two seeds."""
    runs = {
        stream: TrainOptions(
            stream=stream,
            model="tiny",
            options={"width": 4, "dropout": 0.5},
            clip=ClipSpec(length=length, crop=16, resize=0),
            schedule=Schedule(epochs=2, batch_size=4, learning_rate=0.01),
            trainer=TrainerOptions(accelerator="cpu", devices=1),
            jobs=0,
            clips=2,
        )
        for stream, length in (("spatial", 1), ("temporal", 3))
    }
    return plan.begin(cache, folder, ProtocolOptions(folds=2, seeds=(0, 1)), runs)


if __name__ == "__main__":
    torch.set_num_threads(1)
    opened = FlowCache.open(sys.argv[1])
    print("begun", flush=True)
    left = work(begin(opened, Path(sys.argv[2])), opened)
    print(f"{len(left)} left", flush=True)
