"""What is told of videos by their size, length and frame rate, without a picture."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from twostream.data.index import Item, VideoIndex
from twostream.scoring.baseline import size_baseline

CLASSES = ("clap", "kick", "run")


def index_of(rows):
    """Videos with these (label, width, height, frames, frame rate), named by their numbers."""
    items = [
        Item(f"{CLASSES[label]}/{n}", label, f"group {n // 2}", frames, frames - 1, "", *size)
        for n, (label, frames, *size) in enumerate(
            (label, frames, width, height, rate) for label, width, height, frames, rate in rows
        )
    ]
    return VideoIndex(tuple(items), CLASSES)


def drawn(seed, count):
    rng = np.random.default_rng(seed)
    return [
        (int(rng.integers(3)), *(int(v) for v in rng.integers(50, 5000, 3)), rng.uniform(10, 60))
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_first_class_is_that_of_scikit_learns_nearest_neighbour(seed):
    rows = drawn(seed, 60)
    index = index_of(rows)
    ids = [item.id for item in index.items]
    scores = size_baseline(index, ids[:40], ids[40:])
    features = np.log1p([row[1:] for row in rows])
    scaler = StandardScaler().fit(features[:40])
    oracle = KNeighborsClassifier(1).fit(scaler.transform(features[:40]), [r[0] for r in rows[:40]])
    expected = oracle.predict(scaler.transform(features[40:]))
    np.testing.assert_array_equal(scores.logits.argmax(1), expected)
    assert scores.top(1) == np.mean(expected == [row[0] for row in rows[40:]])
    assert scores.name == "no picture"
    assert scores.ids == tuple(ids[40:])
    assert scores.groups == tuple(item.group for item in index.items[40:])
    assert scores.trained_on == tuple(sorted(ids[:40]))


@pytest.mark.parametrize("varying", range(4))
def test_a_class_that_one_of_the_four_gives_away_is_told(varying):
    """As crops whose width is that of the action, or classes that were scraped from other sites."""
    rows = []
    for n in range(24):
        values = [320, 240, 100, 25.0]
        values[varying] *= 1 + n % 3 + n / 100
        rows.append((n % 3, *values))
    index = index_of(rows)
    ids = [item.id for item in index.items]
    assert size_baseline(index, ids[:12], ids[12:]).top(1) == 1


def test_what_is_tested_does_not_move_the_scale():
    huge = [(0, 10**n, 240, 100, 25.0) for n in range(3, 12)]
    index = index_of(drawn(0, 60) + huge)
    ids = [item.id for item in index.items]
    some = size_baseline(index, ids[:40], ids[40:60])
    more = size_baseline(index, ids[:40], ids[40:])
    np.testing.assert_array_equal(some.logits, more.logits[:20])


def test_where_all_videos_are_alike_the_most_frequent_class_goes_first():
    index = index_of([(n, 320, 240, 50, 25.0) for n in (0, 1, 1, 2, 1, 2, 0, 1, 2)])
    ids = [item.id for item in index.items]
    scores = size_baseline(index, ids[:6], ids[6:])
    assert scores.logits.tolist() == [[-2, 0, -1]] * 3
    assert scores.top(1) == pytest.approx(1 / 3)


def test_no_training_video_is_an_error_of_the_caller():
    index = index_of(drawn(0, 3))
    with pytest.raises(ValueError, match="videos that train"):
        size_baseline(index, [], [index.items[0].id])
