"""Which videos train, which validate, and which test; groups stay together."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import ClassVar

import numpy as np

from flowcache.atomic import write_csv
from twostream.data.index import Item, VideoIndex, VideoIndexError


@dataclass(frozen=True)
class Split:
    """Ids by part; every part sorted."""

    PARTS: ClassVar = ("train", "validation", "test")

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Two splits with one digest have the same parts."""
        text = "\n".join(",".join(part) for part in (self.train, self.validation, self.test))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_split(
    index: VideoIndex,
    *,
    seed: int,
    test_share: float,
    validation_share: float,
    train: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
) -> Split:
    """Divide the videos. Where only one of `train` and `test` is given, the other is the rest.

    Without either, groups are drawn at random, about `test_share` of each class, by `seed`. The
    validation part is drawn the same way from the training groups. Raises VideoIndexError where a
    group or a file's content is on both sides, or a class cannot be on both.
    """
    if train is None and test is None:
        train_items, test_items = divide(index, index.items, test_share, seed)
    else:
        given = {*(train or ()), *(test or ())}
        rest = [item.id for item in index.items if item.id not in given]
        train_items = index.select(rest if train is None else train)
        test_items = index.select(rest if test is None else test)
    if not train_items or not test_items:
        raise VideoIndexError("the split leaves no video to train on, or none to test on")
    check_leakage(train_items, test_items)
    validation_items: tuple[Item, ...] = ()
    if validation_share > 0:
        train_items, validation_items = divide(index, train_items, validation_share, seed)
    return Split(
        *(tuple(sorted(i.id for i in part)) for part in (train_items, validation_items, test_items))
    )


def divide(
    index: VideoIndex, items: Sequence[Item], share: float, seed: int
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Items → (kept, held out): whole groups, about `share` of each class, each class in both.

    Groups that share a file's content count as one. Raises VideoIndexError for a class whose videos
    all hang together.
    """
    joined = bundles(items)
    order = np.random.default_rng(seed).permutation(len(joined))
    kept = _class_counts(items, index)
    goal, held = kept * share, np.zeros_like(kept)
    held_out: set[str] = set()

    def hold_out(bundle: list[Item], counts: np.ndarray) -> None:
        nonlocal kept, held
        kept, held = kept - counts, held + counts
        held_out.update(item.id for item in bundle)

    for wanted_only in (False, True):  # a second pass for the classes that the first left out
        for number in order:
            bundle = joined[number]
            counts = _class_counts(bundle, index)
            if bundle[0].id in held_out or np.any((counts > 0) & (kept == counts)):
                continue
            closer = np.abs(goal - held - counts).sum() < np.abs(goal - held).sum()
            wanted = np.any((counts > 0) & (held == 0))
            if wanted if wanted_only else closer:
                hold_out(bundle, counts)
    lacking = np.flatnonzero((_class_counts(items, index) > 0) & (held == 0))
    if len(lacking):
        raise VideoIndexError(
            f"class {index.classes[lacking[0]]} has too few groups to be divided: add videos of "
            "another group, give lists of training and test videos, or set the validation share to 0",
            "validation_share",
        )
    return (
        tuple(item for item in items if item.id not in held_out),
        tuple(item for item in items if item.id in held_out),
    )


def check_leakage(train: Sequence[Item], test: Sequence[Item]) -> None:
    """Raise VideoIndexError where a video, a group or a file's content is on both sides."""
    for what, key in (
        ("video", attrgetter("id")),
        ("group", attrgetter("group")),
        ("file content (SHA-256)", attrgetter("sha256")),
    ):
        sides = {key(item): item.id for item in train}
        for item in test:
            if key(item) in sides:
                raise VideoIndexError(
                    f"the {what} {key(item)} is on both sides: {sides[key(item)]} trains and "
                    f"{item.id} tests"
                )


def write_split(path: Path, index: VideoIndex, split: Split) -> None:
    """A CSV file: video, label, group, part."""
    rows = [
        [item.id, index.classes[item.label], item.group, part]
        for part in Split.PARTS
        for item in index.select(getattr(split, part))
    ]
    write_csv(path, [["video", "label", "group", "part"], *rows])


def read_split(path: Path) -> tuple[Split, dict[str, str]]:
    """What `write_split` wrote, and the group of each video.

    VideoIndexError where there is no such file, or it is something else.
    """
    parts: dict[str, list[str]] = {part: [] for part in Split.PARTS}
    groups = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                parts[row["part"]].append(row["video"])
                groups[row["video"]] = row["group"]
    except FileNotFoundError:
        raise VideoIndexError(f"{path} does not exist: name the folder of a run", "run") from None
    except (OSError, ValueError, LookupError, csv.Error) as error:
        raise VideoIndexError(f"{path} is not the split of a run: {error}", "run") from None
    return Split(*(tuple(sorted(ids)) for ids in parts.values())), groups


def bundles(items: Sequence[Item]) -> list[list[Item]]:
    """Items that must not be parted, joined by group or by content; sorted by their first id."""
    bundle_of: dict[str, list[Item]] = {}
    for item in items:
        joined = [item]
        for key in (f"group {item.group}", f"content {item.sha256}"):
            other = bundle_of.get(key, [])
            joined += [i for i in other if i not in joined]
        for member in joined:
            bundle_of[f"group {member.group}"] = bundle_of[f"content {member.sha256}"] = joined
    unique = {id(b): b for b in bundle_of.values()}
    return sorted((sorted(b, key=lambda i: i.id) for b in unique.values()), key=lambda b: b[0].id)


def _class_counts(items: Sequence[Item], index: VideoIndex) -> np.ndarray:
    return np.bincount([item.label for item in items], minlength=len(index.classes)).astype(float)
