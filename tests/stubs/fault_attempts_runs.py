"""What a campaign tries with damaged checkpoints, scores, lists and records; see `fault_campaign`."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flowcache.cache.store import FlowCache
from twostream.data.index import Item, VideoIndex, read_groups
from twostream.data.split_lists import read_class_list, read_hmdb51, read_list
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.resumption import resumption
from twostream.runs.run_json import recorded
from twostream.runs.training_options import TrainOptions
from twostream.scoring.scores import Scores

CLASSES = ("clap", "run")
IDS = tuple(f"{name}/v {n}" for name in CLASSES for n in range(4))
INDEX = VideoIndex(
    tuple(
        Item(id=i, label=CLASSES.index(i[: i.index("/")]), group=i, frames=9, fields=8, sha256=i)
        for i in IDS
    ),
    CLASSES,
)

TEXTS = {
    "list": "".join(f"{i}.avi {CLASSES.index(i[: i.index('/')]) + 1}\n" for i in IDS),
    "classes": "1 clap\n2 run\n",
    "groups": "video,group\n" + "".join(f"{i}.avi,{i[-1]}\n" for i in IDS),
    "hmdb51": "".join(f"v {n}.avi {n % 3}\n" for n in range(4)),
}
"""Whole files that people write, by their kind."""


def in_a_folder(name: str, content: bytes, use: Callable[[Path], bool]) -> bool:
    """Use a file that has this name and content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        return use(path)


def checkpoint(whole: str, content: bytes) -> bool:
    """Load a damaged checkpoint: the whole one has the same weights and says the same."""
    model, spec = load_checkpoint(Path(whole))

    def use(path: Path) -> bool:
        damaged, told = load_checkpoint(path)
        state, other = model.state_dict(), damaged.state_dict()
        same = all(torch.equal(state[name], other[name]) for name in state)
        return same and asdict(told) == asdict(spec)

    return in_a_folder("best.ckpt", content, use)


def last_checkpoint(whole: str, content: bytes) -> bool:
    """Find out from which epoch a run goes on that has nothing but a damaged last checkpoint."""
    expected = resumption(Path(whole).parent)

    def use(path: Path) -> bool:
        found = resumption(path.parent)
        assert found is not None
        assert expected is not None
        return (found.next_epoch, found.spec) == (expected.next_epoch, expected.spec)

    return in_a_folder("last.ckpt", content, use)


def scores(whole: str, content: bytes) -> bool:
    """Load damaged scores: the whole ones are the same."""
    expected = asdict(Scores.load(Path(whole)))

    def use(path: Path) -> bool:
        found = asdict(Scores.load(path))
        return all(np.array_equal(found[name], value) for name, value in expected.items())

    return in_a_folder("scores.npz", content, use)


def text(kind: str, content: bytes) -> bool:
    """Read what people write: what is read must stand there, letter by letter."""

    def stands(names: Any) -> bool:
        letters = content.decode("utf-8-sig").casefold()
        return all(name.casefold() in letters for name in names)

    def use(path: Path) -> bool:
        if kind == "list":
            return stands(read_list(path, INDEX, skip_missing=True))
        if kind == "classes":
            return stands(read_class_list(path))
        if kind == "groups":
            return stands(read_groups(path).values())
        train, test = read_hmdb51(path.parent, 1, INDEX, skip_missing=True)
        return stands(i.partition("/")[2] for i in (*train, *test))

    return in_a_folder("clap_test_split1.txt", content, use)


def record(content: bytes) -> bool:
    """Read a damaged run.json, whose options are whatever stands there."""
    return in_a_folder(
        "run.json",
        content,
        lambda path: isinstance(recorded(TrainOptions, path.parent), TrainOptions),
    )


def cache_json(content: bytes) -> bool:
    """Open a cache whose recipe is damaged, and is whatever stands there."""
    return in_a_folder(
        "cache.json", content, lambda path: bool(FlowCache.open(path.parent).recipe.name)
    )
