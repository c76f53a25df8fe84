"""From what a run was told to its index of videos and its split."""

from collections.abc import Sequence
from pathlib import Path

from flowcache.cache.store import FlowCache
from twostream.data.index import VideoIndex, read_index
from twostream.data.lists import read_class_list, read_hmdb51, read_list
from twostream.data.splits import Split, make_split
from twostream.runs.options import SplitOptions


def split_cache(cache: FlowCache, told: SplitOptions, seed: int) -> tuple[VideoIndex, Split]:
    """Index a cache and divide its videos. Raises VideoIndexError where they cannot be divided so."""
    classes = read_class_list(Path(told.class_list)) if told.class_list else None
    index = read_index(cache, Path(told.groups) if told.groups else None, classes)
    train: Sequence[str] | None = None
    test: Sequence[str] | None = None
    if told.hmdb51:
        train, test = read_hmdb51(Path(told.hmdb51), told.split_number, index, told.skip_missing)
    if told.train_list:
        train = read_list(Path(told.train_list), index, told.skip_missing)
    if told.test_list:
        test = read_list(Path(told.test_list), index, told.skip_missing)
    split = make_split(
        index,
        seed=seed,
        test_share=told.test_share,
        validation_share=told.validation_share,
        train=train,
        test=test,
    )
    return index, split
