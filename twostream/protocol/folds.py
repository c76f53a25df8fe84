"""Which videos train and which test in each fold of a scheme; groups stay together in all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twostream.data.index import Item, VideoIndex, VideoIndexError
from twostream.data.split_lists import read_hmdb51, read_list
from twostream.data.splits import bundles, check_leakage
from twostream.protocol.options import ProtocolOptions

Parts = tuple[Sequence[Item], Sequence[Item]]
"""The videos that train, and those that test."""

_HMDB51_SPLITS = (1, 2, 3)


@dataclass(frozen=True)
class Fold:
    """Ids of the videos that train and those that test; each part sorted. name: as "03"."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def make_folds(
    index: VideoIndex, options: ProtocolOptions, say: Callable[[str], None] = lambda _: None
) -> list[Fold]:
    """The folds of a scheme.

    The same videos and options give the same folds, whatever the seeds are, so results of several
    experiments can be compared. say: is told of classes that test in a fold and do not train there.

    Raises VideoIndexError where there are too few groups, and for lists that do not fit the videos or
    divide a group.
    """
    parts: list[Parts]
    match options.scheme:
        case "group-folds":
            parts = _group_folds(index, options.folds)
        case "leave-one-group-out":
            parts = [(_rest(index, bundle), bundle) for bundle in bundles(index.items)]
        case "lists":
            parts = _of_lists(index, Path(str(options.lists)))
        case "hmdb51":
            folder = Path(str(options.hmdb51))
            listed = [read_hmdb51(folder, n, index) for n in _HMDB51_SPLITS]
            parts = [(index.select(train), index.select(test)) for train, test in listed]
    digits = max(2, len(str(len(parts))))
    folds = []
    for number, (train, test) in enumerate(parts, 1):
        if not train or not test:
            raise VideoIndexError(f"fold {number} leaves no video to train on, or none to test on")
        check_leakage(train, test)
        if unknown := {item.label for item in test} - {item.label for item in train}:
            say(
                f"fold {number} tests {index.classes[min(unknown)]}, of which no video trains there, so "
                "it cannot be recognised: give that class videos of more groups, or ask for fewer folds"
            )
        folds.append(Fold(f"{number:0{digits}}", _ids(train), _ids(test)))
    return folds


def _group_folds(index: VideoIndex, count: int) -> list[Parts]:
    from sklearn.model_selection import StratifiedGroupKFold

    groups = bundles(index.items)
    _, videos = np.unique([item.label for item in index.items], return_counts=True)
    most = min(len(groups), *videos)
    if most < count:
        raise VideoIndexError(
            f"{len(groups)} groups, of which a class has {most} videos, cannot be divided into {count} "
            "folds: ask for fewer folds",
            "folds",
        )
    items = [item for group in groups for item in group]
    numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    labels = np.array([item.label for item in items])
    divider = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    return [
        ([items[n] for n in train], [items[n] for n in test])
        for train, test in divider.split(np.zeros(len(items)), labels, numbers)
    ]


def _of_lists(index: VideoIndex, folder: Path) -> list[Parts]:
    tests = sorted(folder.glob("testlist*.txt"))
    if not tests:
        raise VideoIndexError(f"{folder} holds no file testlist01.txt or the like", "lists")
    parts: list[Parts] = []
    for path in tests:
        test = index.select(read_list(path, index))
        beside = path.with_name(path.name.replace("test", "train", 1))
        train = index.select(read_list(beside, index)) if beside.exists() else ()
        parts.append((train or _rest(index, test), test))
    return parts


def _rest(index: VideoIndex, test: Sequence[Item]) -> list[Item]:
    ids = {item.id for item in test}
    return [item for item in index.items if item.id not in ids]


def _ids(items: Sequence[Item]) -> tuple[str, ...]:
    return tuple(sorted(item.id for item in items))
