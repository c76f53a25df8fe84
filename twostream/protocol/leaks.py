"""Videos that look nearly alike and stand on both sides of a fold, which groups did not tell."""

from collections.abc import Sequence
from dataclasses import dataclass

from flowcache.cache.store import FlowCache
from twostream.data.duplicates import Pair, near_duplicates
from twostream.protocol.folds import Fold


@dataclass(frozen=True)
class Leak:
    """A pair of near-duplicates, and the names of the folds in which one trains and the other tests."""

    pair: Pair
    folds: tuple[str, ...]


def find_leaks(cache: FlowCache, folds: Sequence[Fold]) -> list[Leak]:
    """All such pairs, the nearest first; see `data.duplicates`."""
    ids = sorted({i for fold in folds for i in (*fold.train, *fold.test)})
    sides = [(fold.name, set(fold.train), set(fold.test)) for fold in folds]
    leaks = []
    for pair in near_duplicates(cache, ids, ids):
        crossed = tuple(
            name
            for name, train, test in sides
            if any(a in train and b in test for a, b in _both_ways(pair))
        )
        if crossed:
            leaks.append(Leak(pair, crossed))
    return leaks


def sentence_about(leaks: Sequence[Leak]) -> str:
    """What a user should know of them; empty where there are none."""
    if not leaks:
        return ""
    first = leaks[0]
    return (
        f"{len(leaks)} pairs of videos look nearly alike and stand on both sides of a fold, the nearest "
        f"are {first.pair.one} and {first.pair.other} (fold {first.folds[0]}): look at them, and give "
        "both one group if they are of one recording"
    )


def _both_ways(pair: Pair) -> list[tuple[str, str]]:
    return [(pair.one, pair.other), (pair.other, pair.one)]
