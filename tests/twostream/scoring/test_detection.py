from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcache.errors import UserError
from twostream.scoring.detection import (
    Segment,
    average_precisions,
    intersection_over_union,
    mean_average_precision,
)

TRUE = {"v": [Segment(0, 10, "run"), Segment(20, 30, "run"), Segment(40, 50, "jump")]}


def overlap_of(a, b):
    """Counted in a fine grid of instants."""
    instants = np.arange(-1, 60, 0.01) + 0.005
    one, other = ((instants > s.start) & (instants < s.end) for s in (a, b))
    return (one & other).sum() / max(1, (one | other).sum())


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 10), (0, 10), 1.0),
        ((0, 10), (5, 15), 1 / 3),
        ((0, 10), (2, 4), 0.2),
        ((0, 10), (10, 20), 0.0),
        ((0, 10), (30, 40), 0.0),
        ((5, 5), (5, 5), 0.0),
    ],
)
def test_the_overlap_of_two_segments(a, b, expected):
    a, b = Segment(*a, "x"), Segment(*b, "x")
    for one, other in ((a, b), (b, a)):
        assert intersection_over_union([one], [other])[0, 0] == pytest.approx(expected)
    assert overlap_of(a, b) == pytest.approx(expected, abs=0.01)


def run(*ends, confidence=1.0):
    return Segment(*ends, "run", confidence)


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([], 0.0),
        (TRUE["v"], 1.0),
        ([run(0, 10)], 0.5),
        ([run(0, 10), run(20, 30)], 1.0),
        ([run(0, 4.9), run(20, 30)], 0.25),  # the surest is too short: found at the second place
        ([run(0, 5), run(20, 30)], 1.0),  # an overlap of exactly a half is enough
        # A second segment of what is found is wrong, and stands between the two that are right.
        ([run(0, 10), run(0, 9), run(20, 30)], 0.5 * (1 + 2 / 3)),
        # The least sure is wrong, and costs nothing.
        ([run(0, 10), run(20, 30, confidence=0.9), run(31, 39, confidence=0.1)], 1.0),
        # Precision rises again: at the first recall the better one behind it is taken.
        ([run(11, 12), run(0, 10), run(20, 30)], 2 / 3),
        ([Segment(0, 10, "jump"), Segment(20, 30, "swim")], 0.0),
    ],
)
def test_average_precision_of_cases_that_are_worked_out_by_hand(predicted, expected):
    surest_first = [
        Segment(s.start, s.end, s.label, s.confidence - 0.01 * place)
        for place, s in enumerate(predicted)
    ]
    each = average_precisions({"v": surest_first}, TRUE)
    assert list(each) == ["jump", "run"]
    assert each["run"] == pytest.approx(expected)
    assert mean_average_precision({"v": surest_first}, TRUE) == pytest.approx(
        (each["run"] + each["jump"]) / 2
    )


def test_a_segment_is_looked_for_in_its_own_video_alone():
    true = {"v": [run(0, 10)], "w": [run(50, 60)], "empty": []}
    assert mean_average_precision({"v": [run(50, 60)], "w": [run(0, 10)]}, true) == 0
    assert mean_average_precision({"w": [run(50, 60)]}, true) == 0.5
    # What is predicted where nothing is shown is wrong, and counts where it is surer.
    wrong = {"empty": [run(0, 10)], "v": [run(0, 10, confidence=0.5)]}
    assert mean_average_precision(wrong, true) == 0.25


def slow_average_precision(predicted, true, overlap):
    """ActivityNet's evaluation step by step: lists, loops, and every true segment tried in turn."""
    ranked = sorted(
        ((s.confidence, v, s) for v, own in predicted.items() for s in own), key=lambda t: -t[0]
    )
    taken, hits, curve = set(), 0, [(0.0, 0.0)]
    total = sum(len(own) for own in true.values())
    for rank, (_, video, segment) in enumerate(ranked, 1):
        order = sorted(range(len(true[video])), key=lambda i: -overlap_of(segment, true[video][i]))
        for i in order:
            if overlap_of(segment, true[video][i]) < overlap:
                break
            if (video, i) not in taken:
                taken.add((video, i))
                hits += 1
                break
        curve.append((hits / total, hits / rank))
    area = 0.0
    for (before, _), (recall, _) in pairwise(curve):
        area += (recall - before) * max(p for r, p in curve if r >= recall)
    return area


@st.composite
def drawn(draw, confident):
    """Segments of two videos, whose ends lie on whole seconds; no two are equally sure."""
    ends = st.tuples(st.integers(0, 20), st.integers(1, 8))
    own = {v: draw(st.lists(ends, min_size=not confident, max_size=6)) for v in "ab"}
    order = draw(st.permutations(range(20)))
    sure = iter(order)
    return {
        v: [run(s, s + n, confidence=next(sure) / 20 if confident else 1.0) for s, n in some]
        for v, some in own.items()
    }


# Overlaps of whole seconds are ratios of small numbers: none is within the grid's error of these.
@given(drawn(confident=True), drawn(confident=False), st.sampled_from([0.307, 0.507, 0.707]))
def test_average_precision_equals_a_slow_oracle(predicted, true, overlap):
    expected = slow_average_precision(predicted, true, overlap)
    assert mean_average_precision(predicted, true, overlap) == pytest.approx(expected)


def test_segments_of_which_nothing_is_known_are_refused():
    with pytest.raises(UserError, match="not known what w shows"):
        average_precisions({"w": [run(0, 1)]}, TRUE)
    with pytest.raises(UserError, match="no true segment"):
        mean_average_precision({}, {"v": []})
    for overlap in (0, -0.5, 1.5):
        with pytest.raises(UserError, match="above 0") as caught:
            average_precisions({}, TRUE, overlap)
        assert caught.value.parameter == "overlap"
