"""Intervals and paired tests, against scipy, a slow loop, exact laws and simulated data."""

import itertools
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcache.errors import UserError
from twostream.scoring.intervals import Comparison, Interval, Measure, compare, interval
from twostream.scoring.scores import Scores, ScoresError

MEASURES = get_args(Measure)


def made(right, labels=None, groups=(), k=3, name="run"):
    """Scores of which each video is right or wrong as told; a wrong one names the next class."""
    right = np.asarray(right, bool)
    labels = np.zeros(len(right), np.int64) if labels is None else np.asarray(labels)
    said = np.where(right, labels, (labels + 1) % k)
    return Scores(
        name=name,
        ids=tuple(f"video {i:04}" for i in range(len(right))),
        logits=np.eye(k, dtype=np.float32)[said],
        labels=labels,
        classes=tuple(f"class {c}" for c in range(k)),
        trained_on=(),
        groups=tuple(f"group {g}" for g in groups),
    )


def drawn(seed, n=60, groups=12, k=3, chance=0.7):
    """Scores whose groups are alike in themselves, with classes of unlike sizes."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    labels = np.minimum(rng.integers(0, k + 1, n), k - 1)
    right = rng.random(n) < np.clip(chance + rng.normal(0, 0.2, groups)[group], 0, 1)
    return made(right, labels, group, k)


def by_hand(results, labels, measure):
    if measure == "top1":
        return np.mean(results)
    return np.mean([np.mean(results[labels == c]) for c in np.unique(labels)])


# The value


@pytest.mark.parametrize("seed", range(3))
def test_the_value_is_the_measure_of_the_scores_whatever_the_draws(seed):
    one = drawn(seed)
    assert interval([one], resamples=1).value == pytest.approx(one.top(1))
    assert interval([one], "mean_class", resamples=1).value == pytest.approx(
        one.mean_class_accuracy()
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_what_seeds_got_is_averaged_first_and_joined_by_id(measure):
    runs = [replace(drawn(0), logits=drawn(0).logits[::step]) for step in (1, -1)]
    backwards = np.arange(60)[::-1]
    other = replace(
        runs[1],
        ids=tuple(runs[1].ids[i] for i in backwards),
        groups=tuple(runs[1].groups[i] for i in backwards),
        labels=runs[1].labels[backwards],
        logits=runs[1].logits[backwards],
    )
    both = interval([runs[0], other], measure, resamples=300)
    alone = [interval([run], measure, resamples=1).value for run in runs]
    assert both.value == pytest.approx(np.mean(alone))
    assert both == interval(runs, measure, resamples=300)


def test_a_tie_counts_against_the_video():
    assert interval([replace(made([1, 1, 1, 1]), logits=np.ones((4, 3), np.float32))]).value == 0


# The interval


@pytest.mark.parametrize("measure", MEASURES)
def test_the_interval_is_that_of_a_loop_which_draws_groups_one_by_one(measure):
    one = drawn(4)
    right, groups = one.right(), np.array(one.groups)
    names, rng = np.unique(groups), np.random.default_rng(1)
    means = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in rng.choice(names, len(names))])
        means.append(by_hand(right[rows], one.labels[rows], measure))
    ours = interval([one], measure, resamples=20_000)
    np.testing.assert_allclose([ours.low, ours.high], np.quantile(means, (0.025, 0.975)), atol=0.02)


@pytest.mark.parametrize("right", [7, 25, 38])
def test_without_groups_it_is_scipys_percentile_interval(right):
    results = np.arange(40) < right
    ours = interval([made(results)], resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (results,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    # A percentile is a whole number of videos; by chance it may be the neighbouring one.
    np.testing.assert_allclose([ours.low, ours.high], theirs, atol=1.01 / 40)
    law = scipy.stats.binom(40, right / 40).ppf([0.025, 0.975]) / 40
    np.testing.assert_allclose([ours.low, ours.high], law, atol=1.01 / 40)


def scipys_interval(got, videos):
    """That of the ratio of two sums over groups, which are drawn together."""
    return scipy.stats.bootstrap(
        (got, videos),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval


def test_with_groups_it_is_scipys_of_the_groups_sums():
    one = drawn(7, n=90, groups=20)
    names, of = np.unique(one.groups, return_inverse=True)
    got, videos = np.bincount(of, one.right(), len(names)), np.bincount(of)
    theirs = scipys_interval(got, videos)
    ours = interval([one], resamples=20_000)
    np.testing.assert_allclose([ours.low, ours.high], theirs, atol=0.01)


def test_the_difference_has_scipys_interval_of_paired_groups():
    one, other = drawn(7, groups=20), drawn(8, groups=20)
    other = replace(one, logits=other.logits)
    names, of = np.unique(one.groups, return_inverse=True)
    difference = one.right().astype(float) - other.right()
    theirs = scipys_interval(np.bincount(of, difference, len(names)), np.bincount(of))
    ours = compare([one], [other], resamples=20_000).gain
    np.testing.assert_allclose([ours.low, ours.high], theirs, atol=0.015)


def test_videos_of_a_group_that_are_all_alike_are_worth_one():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(20) < 0.6, 10)
    groups = np.repeat(np.arange(20), 10)
    of_groups, of_videos = (interval([made(right, groups=g)]) for g in (groups, ()))
    assert of_groups == interval([made(right[::10])])
    assert of_groups.high - of_groups.low > 2.5 * (of_videos.high - of_videos.low)


@pytest.mark.parametrize(
    ("measure", "at_least", "at_most"), [("top1", 0.89, 0.98), ("mean_class", 0.88, 0.98)]
)
def test_nineteen_of_twenty_intervals_hold_the_truth_where_groups_are_alike_in_themselves(
    measure, at_least, at_most
):
    rng = np.random.default_rng(5)
    labels, groups = np.tile([0, 0, 1], 120), np.repeat(np.arange(60), 6)
    held = []
    for seed in range(200):
        # The chance of a group is 0.4 or 0.9, so that of all videos is 0.65.
        chance = np.where(rng.random(60) < 0.5, 0.4, 0.9)[groups]
        one = interval(
            [made(rng.random(360) < chance, labels, groups)], measure, resamples=300, seed=seed
        )
        held.append(one.low <= 0.65 <= one.high)
    assert at_least <= np.mean(held) <= at_most


def test_an_interval_does_not_depend_on_the_machine_but_on_the_seed():
    one = [drawn(2)]
    assert interval(one, resamples=500) == interval(one, resamples=500)
    assert interval(one, resamples=500, seed=1) != interval(one, resamples=500)


def test_so_many_resamples_that_they_do_not_fit_at_once_give_the_same_kind_of_interval(monkeypatch):
    one, other = drawn(3), replace(drawn(3), logits=drawn(4).logits)
    at_once = compare([one], [other], "mean_class", resamples=4000)
    monkeypatch.setattr("twostream.scoring.intervals._AT_ONCE", 100)
    monkeypatch.setattr("twostream.scoring.intervals._EXACT", 1)
    in_parts = compare([one], [other], "mean_class", resamples=4000)
    assert in_parts.gain.low == pytest.approx(at_once.gain.low, abs=0.02)
    assert in_parts.gain.high == pytest.approx(at_once.gain.high, abs=0.02)
    assert in_parts.p == pytest.approx(at_once.p, abs=0.03)


# The paired test


@given(st.integers(0, 10_000), st.integers(2, 60), st.sampled_from(MEASURES))
@settings(max_examples=30)
def test_of_single_videos_it_is_mcnemars_exact_test(seed, n, measure):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, n)) < 0.6
    one, other = made(first), made(second)  # of one class, so both measures are the same
    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    expected = scipy.stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    found = compare([one], [other], measure, resamples=2)
    assert found.p == pytest.approx(expected)
    assert found.gain.value == pytest.approx((wins - losses) / n)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("seed", range(3))
def test_of_few_groups_every_way_to_swap_is_tried(measure, seed):
    one, other = drawn(seed, n=40, groups=7), drawn(seed + 50, n=40, groups=7)
    other = replace(one, logits=other.logits)
    groups = np.unique(one.groups)
    difference = one.right().astype(float) - other.right()
    found = []
    for signs in itertools.product((1, -1), repeat=len(groups)):
        sign = dict(zip(groups, signs, strict=True))
        swapped = difference * [sign[g] for g in one.groups]
        found.append(abs(by_hand(swapped, one.labels, measure)))
    expected = np.mean(np.array(found) >= abs(by_hand(difference, one.labels, measure)) - 1e-12)
    assert compare([one], [other], measure, resamples=2).p == pytest.approx(expected)


def test_of_many_groups_it_is_scipys_permutation_test_of_their_sums():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), rng.integers(2, 12, 40))
    first, second = rng.random((2, len(groups))) < [[0.75], [0.68]]
    sums = [np.bincount(groups, right) for right in (first, second)]
    theirs = scipy.stats.permutation_test(
        sums,
        lambda a, b, axis: (a - b).sum(axis),
        permutation_type="samples",
        n_resamples=10_000,
        rng=np.random.default_rng(0),
        vectorized=True,
    ).pvalue
    pair = [made(first, groups=groups)], [made(second, groups=groups)]
    for ours in (compare(*pair).p, compare(*pair, seed=9).p):
        assert 0.02 < ours < 0.5
        assert ours == pytest.approx(theirs, abs=0.02)


def test_random_swaps_never_give_a_p_value_of_zero(monkeypatch):
    monkeypatch.setattr("twostream.scoring.intervals._EXACT", 1)
    assert compare([made([1] * 40)], [made([0] * 40)], resamples=99).p == 1 / 100


def test_equally_good_runs_are_found_unlike_in_one_of_twenty_cases():
    rng = np.random.default_rng(11)
    groups = np.repeat(np.arange(12), 4)
    below = []
    for _ in range(300):
        # The runs differ from group to group, and neither is better.
        chance = np.where(rng.random(12) < 0.5, 0.3, 0.9)[groups]
        both = np.where(
            rng.random(12)[groups] < 0.5, [chance, 1.2 - chance], [1.2 - chance, chance]
        )
        first, second = rng.random((2, 48)) < both
        pair = [made(first, groups=groups)], [made(second, groups=groups)]
        below.append(compare(*pair, resamples=200).p <= 0.05)
    assert np.mean(below) <= 0.08


@pytest.mark.parametrize("measure", MEASURES)
def test_the_other_way_round_is_the_same_with_another_sign(measure):
    one, other = drawn(0, groups=6), replace(drawn(0, groups=6), logits=drawn(1).logits)
    there, back = (compare(*pair, measure) for pair in (([one], [other]), ([other], [one])))
    assert there.p == pytest.approx(back.p)
    assert there.gain.value == pytest.approx(-back.gain.value)
    assert there.gain.low == pytest.approx(-back.gain.high, abs=0.02)
    assert there.gain.low <= there.gain.value <= there.gain.high


def test_several_seeds_are_compared_by_what_each_video_got_on_average():
    right = np.random.default_rng(0).random((5, 80)) < [[0.8], [0.7], [0.9], [0.5], [0.6]]
    runs = [made(row, groups=np.arange(80) // 4) for row in right]
    found = compare(runs[:3], runs[3:])
    assert found.gain.value == pytest.approx(right[:3].mean() - right[3:].mean())
    assert found.gain.low > 0
    assert found.p < 0.01
    with_itself = compare(runs[:3], runs[:3])
    assert (with_itself.gain, with_itself.p) == (Interval(0, 0, 0), 1)


# What is at the edge


@pytest.mark.parametrize("measure", MEASURES)
def test_of_a_single_group_nothing_is_known(measure):
    one, other = made([1, 1, 0, 1], groups=[0] * 4), made([0, 1, 0, 1], groups=[0] * 4)
    assert interval([one], measure) == Interval(0.75, 0, 1)
    found = compare([one], [other], measure)
    assert (found.gain, found.p) == (Interval(0.25, -1, 1), 1)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("share", [0, 1])
def test_where_all_are_right_or_all_are_wrong_every_draw_is(measure, share):
    one = made([share] * 9, labels=[0, 1, 2] * 3)
    assert interval([one], measure) == Interval(share, share, share)
    found = compare([one], [one], measure)
    assert (found.gain, found.p) == (Interval(0, 0, 0), 1)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_video_without_a_label_does_not_count(measure):
    one = drawn(0)
    told = replace(one, labels=np.where(np.arange(60) % 3 == 0, -1, one.labels))
    rows = np.flatnonzero(told.labels >= 0)
    alone = replace(
        one,
        ids=tuple(one.ids[i] for i in rows),
        groups=tuple(one.groups[i] for i in rows),
        labels=one.labels[rows],
        logits=one.logits[rows],
    )
    assert interval([told], measure, resamples=200) == interval([alone], measure, resamples=200)
    other, other_alone = replace(told, logits=-told.logits), replace(alone, logits=-alone.logits)
    assert compare([told], [other], measure) == compare([alone], [other_alone], measure)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_class_that_few_groups_have_gives_no_draw_without_a_number(measure):
    one = made([1, 1, 0, 1, 1, 0], labels=[0, 0, 0, 0, 0, 1])
    found = interval([one], measure, resamples=500)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: replace(s, ids=("new", *s.ids[1:])), "different videos"),
        (lambda s: replace(s, groups=("other", *s.groups[1:])), "group 1 videos differently"),
        (lambda s: replace(s, labels=(s.labels + 1) % 3), "label 60 videos differently"),
        (lambda s: replace(s, classes=("a", "b", "c")), "different classes"),
    ],
    ids=["video", "group", "label", "class"],
)
def test_scores_of_other_videos_or_groups_are_refused(change, words):
    one = drawn(0)
    for call in (lambda: compare([one], [change(one)]), lambda: interval([one, change(one)])):
        with pytest.raises(ScoresError, match=words):
            call()


def test_groups_that_one_run_knows_hold_for_the_other():
    one = drawn(0)
    assert compare([replace(one, groups=())], [one]) == compare([one], [one])
    assert interval([replace(one, groups=()), one]) == interval([one])


def test_other_training_videos_and_other_clips_can_be_compared():
    one = replace(drawn(0), trained_on=("a",), clips=1, crops=1)
    compare([one], [replace(one, trained_on=("b",), clips=25, crops=10)], resamples=1)


@pytest.mark.parametrize(
    "scores", [made([]), made([1, 0], labels=[-1, -1])], ids=["no video", "no label"]
)
def test_where_nothing_can_be_right_it_says_so(scores):
    for call in (lambda: compare([scores], [scores]), lambda: interval([scores])):
        with pytest.raises(ScoresError, match="no video has a label"):
            call()


def test_what_cannot_be_asked_for_is_refused():
    one = [drawn(0)]
    with pytest.raises(ScoresError, match="no scores of a run"):
        interval([])
    with pytest.raises(ScoresError, match="no scores of a run"):
        compare(one, [])
    with pytest.raises(UserError, match="'top5': use top1 or mean_class") as caught:
        interval(one, "top5")
    assert caught.value.parameter == "measure"
    with pytest.raises(UserError, match="at least one") as caught:
        compare(one, one, resamples=0)
    assert caught.value.parameter == "resamples"


def test_intervals_and_comparisons_are_printed_in_per_cent():
    assert str(Interval(0.8381, 0.7619, 0.9048)) == "83.8 [76.2, 90.5]"
    gain = Interval(0.048, -1e-17, 0.095)  # what is rounded to 0 has no minus
    assert f"{gain:+}" == "+4.8 [+0.0, +9.5]"
    assert str(Comparison(gain, 0.0312)) == "+4.8 [+0.0, +9.5], p 0.031"
    assert str(Comparison(gain, 0.0001)) == "+4.8 [+0.0, +9.5], p < 0.001"


def test_few_groups_cannot_give_a_small_p_value():
    assert compare([made([1] * 5)], [made([0] * 5)]).p == 2**-4
