from dataclasses import replace

import numpy as np
import pytest
from made_scores import scores

from twostream.report.comparison import comparison_table, comparisons
from twostream.scoring.intervals import Interval, compare, interval

MEASURES = [("top1", "top-1"), ("mean_class", "mean class")]


def better(name, gain, seed):
    one = scores(name, n=60, k=4, seed=seed)
    sure = one.logits + gain * np.eye(4, dtype=np.float32)[one.labels]
    return replace(one, logits=sure, groups=tuple(f"group {i // 3}" for i in range(60)))


@pytest.fixture
def runs():
    return [better(f"a{n}", 3, n) for n in range(2)], [better("b", 1, 5)]


@pytest.mark.parametrize(("measure", "heading"), MEASURES)
def test_the_table_says_what_was_found(runs, measure, heading):
    table = comparison_table(*runs)
    columns = {str(column.header): list(column.cells) for column in table.columns}
    assert columns[""] == ["a0 and 1 more", "b", "gain", "p"]
    found = compare(*runs, measure)
    gain = (
        f"{100 * found.gain.value:+.1f} [{100 * found.gain.low:+.1f}, {100 * found.gain.high:+.1f}]"
    )
    both = [str(interval(one, measure)) for one in runs]
    assert columns[heading] == [*both, gain, "< 0.001"]
    assert "60 videos of 20 groups" in table.title
    assert "groups" in table.caption


def test_of_videos_without_groups_it_speaks_of_videos(runs):
    alone = [[replace(one, groups=()) for one in each] for each in runs]
    table = comparison_table(*alone)
    assert "groups" not in f"{table.title} {table.caption}"
    assert comparisons(*alone)["groups"] == comparisons(*alone)["videos"] == 60


@pytest.mark.parametrize("measure", [measure for measure, _ in MEASURES])
def test_a_program_reads_the_same(runs, measure):
    found = comparisons(*runs)
    assert (found["one"], found["other"]) == (["a0", "a1"], ["b"])
    assert (found["videos"], found["groups"], found["resamples"]) == (60, 20, 10_000)
    expected = compare(*runs, measure)
    assert Interval(**found[measure]["gain"]) == expected.gain
    assert found[measure]["p"] == expected.p
    for name, one in zip(("one", "other"), runs, strict=True):
        assert Interval(**found[measure][name]) == interval(one, measure)


def test_groups_that_one_of_the_runs_knows_hold_for_both(runs):
    one, (other,) = runs
    assert comparisons(one, [replace(other, groups=())]) == comparisons(one, [other])
