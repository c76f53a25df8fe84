"""From what a run was told to its index of videos and its split."""

from collections.abc import Callable, Sequence
from pathlib import Path

from flowcache.cache.store import FlowCache
from twostream.data.index import VideoIndex, read_index
from twostream.data.split_lists import read_class_list, read_hmdb51, read_list
from twostream.data.splits import Split, make_split, read_split
from twostream.runs import files
from twostream.runs.training_options import IndexOptions, SplitOptions


def groups_of(folder: Path) -> dict[str, str]:
    """The group of each video of a run's split, as the run was told; empty where it has no record."""
    path = folder / files.SPLIT
    return read_split(path)[1] if path.exists() else {}


def index_of(cache: FlowCache, options: IndexOptions) -> VideoIndex:
    """Index a cache with what the user knows of its videos. Raises VideoIndexError as `read_index`."""
    classes = read_class_list(Path(options.class_list)) if options.class_list else None
    return read_index(cache, Path(options.groups) if options.groups else None, classes)


def split_cache(
    cache: FlowCache, options: SplitOptions, seed: int, say: Callable[[str], None] = lambda _: None
) -> tuple[VideoIndex, Split]:
    """Index a cache and divide its videos. Raises VideoIndexError where they cannot be divided so.

    say: is told which listed videos are left out, and how the others are divided.
    """
    index = index_of(cache, options)
    train: Sequence[str] | None = None
    test: Sequence[str] | None = None
    if options.hmdb51:
        train, test = read_hmdb51(
            Path(options.hmdb51), options.split_number, index, options.skip_missing, say
        )
    if options.train_list:
        train = read_list(Path(options.train_list), index, options.skip_missing, say)
    if options.test_list:
        test = read_list(Path(options.test_list), index, options.skip_missing, say)
    split = make_split(
        index,
        seed=seed,
        test_share=options.test_share,
        validation_share=options.validation_share,
        train=train,
        test=test,
    )
    if index.partial:
        say(f"{len(index.partial)} videos are known only in part, the first is {index.partial[0]}")
    if all(item.group == item.id for item in index.items):
        say("no groups: each video counts as one (related videos can be named by groups)")
    say(
        f"{len(split.train)} videos train, {len(split.validation)} validate, "
        f"{len(split.test)} are kept for the test; {len(index.classes)} classes"
    )
    return index, split
