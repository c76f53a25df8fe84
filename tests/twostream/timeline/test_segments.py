from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twostream.timeline.segments import segments_of

CLASSES = ("a", "b", "c")


def told(letters, sure=0.8):
    """Probabilities of parts in which these classes are the best; a dot: none is likely."""
    rows = np.full((len(letters), 3), (1 - sure) / 2, np.float32)
    for row, letter in zip(rows, letters, strict=True):
        row[:] = 1 / 3 if letter == "." else row
        if letter != ".":
            row[CLASSES.index(letter)] = sure
    return rows


def found(letters, edges=None, min_length=0.0, threshold=0.0, **how):
    edges = np.arange(len(letters) + 1.0) if edges is None else np.array(edges, np.float64)
    segments = segments_of(
        told(letters, **how), edges, CLASSES, min_length=min_length, threshold=threshold
    )
    return [(s.start, s.end, s.label) for s in segments]


@pytest.mark.parametrize(
    ("letters", "min_length", "threshold", "expected"),
    [
        ("aaabbc", 0, 0, [(0, 3, "a"), (3, 5, "b"), (5, 6, "c")]),
        ("b", 5, 0, [(0, 1, "b")]),  # nothing to join it to
        ("aabaaa", 2, 0, [(0, 6, "a")]),
        ("aabaaa", 1, 0, [(0, 2, "a"), (2, 3, "b"), (3, 6, "a")]),
        ("aaabcc", 2, 0, [(0, 4, "a"), (4, 6, "c")]),
        ("aabccc", 2, 0, [(0, 2, "a"), (2, 6, "c")]),
        ("aabccb", 2, 0, [(0, 3, "a"), (3, 6, "c")]),  # of two equal neighbours the earlier
        # The shortest goes first, so that a long one is not eaten from a row of short ones.
        ("aaabbaaa", 3, 0, [(0, 8, "a")]),
        ("..aaa.", 0, 0.5, [(2, 5, "a")]),
        ("aa..aa", 0, 0.5, [(0, 2, "a"), (4, 6, "a")]),
        ("aa.aa", 2, 0.5, [(0, 5, "a")]),
        ("...b...", 2, 0.5, []),
        ("aaaa", 0, 0.81, []),
        ("aaaa", 0, 0.79, [(0, 4, "a")]),
    ],
)
def test_neighbours_of_one_class_are_one_segment(letters, min_length, threshold, expected):
    assert found(letters, min_length=min_length, threshold=threshold) == expected


def test_lengths_are_those_of_the_edges_and_not_numbers_of_parts():
    edges = [10.0, 10.5, 11.0, 13.0, 13.2]
    assert found("aabc", edges) == [(10.0, 11.0, "a"), (11.0, 13.0, "b"), (13.0, 13.2, "c")]
    assert found("aabc", edges, min_length=1.0) == [(10.0, 11.0, "a"), (11.0, 13.2, "b")]


def test_the_confidence_is_the_mean_probability_over_time():
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.3, 0.7]], np.float32)
    edges = np.array([0.0, 1.0, 4.0, 5.0])
    first, second = segments_of(probabilities, edges, "ab", min_length=0, threshold=0)
    assert first.confidence == pytest.approx((0.6 + 3 * 0.9) / 4)
    assert second.confidence == pytest.approx(0.7)
    (all_of_it,) = segments_of(probabilities, edges, "ab", min_length=2, threshold=0)
    assert all_of_it.confidence == pytest.approx((0.6 + 3 * 0.9 + 0.3) / 5)


@given(
    st.text("abc.", min_size=1, max_size=30),
    st.integers(0, 6),
    st.sampled_from([0.0, 0.5]),
)
def test_segments_follow_one_another_and_none_is_too_short(letters, min_length, threshold):
    segments = found(letters, min_length=min_length, threshold=threshold)
    for (_, end, label), (start, _, following) in pairwise(segments):
        assert end < start or (end == start and label != following)
    if len(segments) > 1:
        assert all(end - start >= min_length for start, end, _ in segments)
    if threshold == 0:
        assert (segments[0][0], segments[-1][1]) == (0, len(letters))
    if min_length == 0:
        shown = {(n, s[2]) for s in segments for n in range(int(s[0]), int(s[1]))}
        best = {(n, "a" if c == "." else c) for n, c in enumerate(letters)}
        assert shown == {one for one in best if threshold == 0 or letters[one[0]] != "."}
