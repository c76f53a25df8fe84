"""Runs of seconds in processes that are killed; started once, because importing PyTorch takes longest.

Called as a program with a cache, a folder, the first seed and how many, it prints a line of JSON for each
kill.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream import stages
from twostream.data.clip_spec import ClipSpec
from twostream.runs import files
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.run_json import recorded
from twostream.runs.training_options import Schedule, TrainerOptions, TrainOptions
from twostream.scoring.scores import Scores

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def plan() -> TrainOptions:
    """A run of four epochs."""
    return TrainOptions(
        stream="temporal",
        model="tiny",
        options={"width": 4, "dropout": 0.5},
        clip=ClipSpec(length=3, crop=16, resize=0),
        schedule=Schedule(epochs=4, batch_size=4, learning_rate=0.01),
        trainer=TrainerOptions(accelerator="cpu", devices=1),
        jobs=0,
        clips=2,
    )


def forked(work: Callable[[], object]) -> int:
    """The number of a process that does some work, and ends with 1 where an error is raised."""
    child = os.fork()
    if child:
        return child
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work()
        os._exit(0)
    except UserError:
        os._exit(1)
    finally:
        os._exit(2)


def train_or_go_on(cache: FlowCache, folder: Path) -> Scores | None:
    """What a user does after a kill."""
    begun = (folder / files.RECORD).exists()
    options = recorded(TrainOptions, folder) if begun else plan()
    return stages.train(cache, folder, options, resume=begun)


def whole(folder: Path) -> bool:
    """Whether every file that is there can be read, while the run is not finished."""
    for name, read in (
        (files.BEST, load_checkpoint),
        (files.LAST, load_checkpoint),
        (files.SCORES, Scores.load),
        (files.RECORD, lambda path: json.loads(path.read_text())),
        (files.METRICS, lambda path: json.loads(path.read_text())),
    ):
        if (folder / name).exists():
            read(folder / name)
    return True


def main(cache_root: str, work: str, first: int, count: int) -> None:
    """Kill so many runs, and evaluations of every third one, and see how they go on."""
    torch.set_num_threads(1)
    cache = FlowCache.open(cache_root)
    stages.train(cache, Path(work, "first"), plan())  # which also imports and compiles
    start = time.monotonic()
    expected = stages.train(cache, Path(work, "undisturbed"), plan())
    seconds = time.monotonic() - start
    assert expected is not None
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        folder = Path(work, str(seed))
        if seed % 3 == 0:  # a finished run, of which an evaluation is killed
            stages.train(cache, folder, plan())
        task = (
            (lambda f=folder: stages.evaluate(cache, f, clips=2, jobs=0))
            if seed % 3 == 0
            else (lambda f=folder: train_or_go_on(cache, f))
        )
        child = forked(task)
        time.sleep(rng.uniform(0, seconds * (0.1 if seed % 3 == 0 else 1)))
        os.kill(child, SIGNALS[rng.integers(len(SIGNALS))])
        _, status = os.waitpid(child, 0)
        readable = whole(folder)
        scores = train_or_go_on(cache, folder)
        assert scores is not None
        left = [path.name for path in folder.iterdir() if path.name.endswith(".part")]
        line = {
            "seed": seed,
            "ended": os.waitstatus_to_exitcode(status),
            "readable": readable,
            "same": bool(np.array_equal(scores.logits, expected.logits)),
            "left": left,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
