import numpy as np
import pytest

from twostream.protocol.folds import Fold
from twostream.protocol.leaks import find_leaks, sentence_about


@pytest.fixture
def cache(new_cache, add, tmp_path):
    """Four videos, of which "a/2" shows what "a/1" does, and "b/2" what "b/1"."""
    cache = new_cache(tmp_path / "cache")
    rng = np.random.default_rng(0)
    for name in "ab":
        coarse = rng.integers(0, 256, (6, 6, 8, 3)).astype(np.uint8)
        frames = coarse.repeat(8, 1).repeat(8, 2)
        for number in (1, 2):
            add(cache, f"{name}/{number}", frames, sha256=f"{name}{number}".ljust(64, "0"))
    return cache


def test_near_duplicates_are_named_with_the_folds_that_they_cross(cache):
    folds = [
        Fold("01", ("a/1", "b/1"), ("a/2", "b/2")),
        Fold("02", ("a/1", "a/2"), ("b/1", "b/2")),
        Fold("03", ("a/2", "b/1", "b/2"), ("a/1",)),
    ]
    found = {(leak.pair.one, leak.pair.other): leak.folds for leak in find_leaks(cache, folds)}
    assert found == {("a/1", "a/2"): ("01", "03"), ("b/1", "b/2"): ("01",)}
    sentence = sentence_about(find_leaks(cache, folds))
    assert sentence.startswith("2 pairs")
    assert "fold 01" in sentence


def test_where_none_crosses_nothing_is_said(cache):
    assert sentence_about(find_leaks(cache, [Fold("01", ("a/1", "a/2"), ("b/1", "b/2"))])) == ""
