"""How far an accuracy may be off, and whether one run is better than another.

The videos of a group, which are cut from one recording or show one person, are no independent
observations. So it is groups that are drawn again or swapped, with all of their videos. A video whose
group is not known is a group of its own.

Both tell how the result would vary with the videos. How it varies with the seed of a training is told by
the spread over several runs.

References:
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: the percentile interval.
    Cameron, Gelbach and Miller, Bootstrap-Based Improvements for Inference with Clustered Errors, 2008:
        groups are drawn whole. With few of them, below some twenty, such intervals are too narrow.
    Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005: the test for matched pairs.
    Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010: the p-value of random swaps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import numpy as np
import numpy.typing as npt

from flowcache.errors import UserError
from twostream.scoring.align import same_videos
from twostream.scoring.scores import Scores, ScoresError

Measure = Literal["top1", "mean_class"]
"""The share of the videos that are right, or its mean over the classes that have videos."""

MEASURES: Mapping[Measure, str] = {"top1": "top-1", "mean_class": "mean class"}
"""All of them, with the words of a table for each."""

Floats = npt.NDArray[np.float64]

RESAMPLES = 10_000
"""How many times groups are drawn where nothing else is asked for."""

_EXACT = 2**14
"""Up to so many outcomes of the swaps are enumerated; beyond, they are drawn at random."""

_AT_ONCE = 2**22
"""How many numbers an array of resamples may hold, so that memory does not grow with their count."""


@dataclass(frozen=True)
class Interval:
    """A measure with its 95 % interval: shares, from 0 to 1, or differences of such, from −1 to 1."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self:}"

    def __format__(self, sign: str) -> str:
        """In per cent: `83.8 [76.2, 90.5]`; with the sign "+", of a difference, `+4.8 [-0.9, +9.5]`."""
        value, low, high = (
            f"{100 * share:{sign}z.1f}" for share in (self.value, self.low, self.high)
        )
        return f"{value} [{low}, {high}]"


@dataclass(frozen=True)
class Comparison:
    """By how much one is better than the other, and the two-sided p-value of that difference."""

    gain: Interval
    p: float

    @property
    def direction(self) -> Literal[1, 0, -1]:
        """1 where the whole interval is above 0, −1 where it is below, 0 where neither can be told."""
        if self.gain.low > 0:
            return 1
        return -1 if self.gain.high < 0 else 0

    def __str__(self) -> str:
        """As `+4.8 [+0.9, +9.5], p 0.031`."""
        return f"{self.gain:+}, p {self.shown_p}"

    @property
    def shown_p(self) -> str:
        """As `0.031`, or `< 0.001`."""
        return f"{self.p:.3f}" if self.p >= 0.001 else "< 0.001"


def interval(
    seeds: Sequence[Scores],
    measure: Measure = "top1",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """A measure of a run with its 95 % percentile interval, by drawing groups with replacement.

    Args:
        seeds: the scores of one run; or of several that differ in the seed of their training. They are of
            the same videos, and what they got for each is averaged first.
        measure: "top1" or "mean_class". In a draw, a class without videos does not count.
        resamples: how many times the groups are drawn.
        seed: of the draws.

    Videos without a label do not count. Of a single group nothing tells how groups differ, and the
    interval is that of all shares, 0 to 1. Where every video is right (or wrong) it is of width 0, since
    every draw is; G groups that are all right still agree with a share of errors of up to 3 / G.

    Raises ScoresError for scores of different videos or groups, and where none has a label; UserError for
    another measure, and for less than one resample.
    """
    _check(measure, resamples, seeds)
    joined = [one.labelled() for one in same_videos(seeds)]
    sums = _sums(joined[0], _results(joined), measure)
    return _bootstrap(sums, (0.0, 1.0), resamples, np.random.default_rng(seed))


def compare(
    one: Sequence[Scores],
    other: Sequence[Scores],
    measure: Measure = "top1",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """By how much one run is better than another on the same videos: a paired comparison.

    Args:
        one: the scores of a run, or of several that differ in the seed of their training.
        other: those of the other run, alike.
        measure: see `interval`.
        resamples: how many times the groups are drawn, and how many times results are swapped.
        seed: of the draws.

    The interval is that of the difference, where each draw of groups is the same for both. The p-value is
    that of a sign-flip test: if both were equally good, what they got in a group could as well have been
    swapped. It is the share of all ways to swap by which the difference is at least as large, up or down.
    Where there are more than 2¹⁴ ways it is estimated from random ones, and is 1 / (resamples + 1) at
    least. G groups cannot give less than 2^(1 − G). Of a single group the interval is −1 to 1.

    Raises as `interval`.
    """
    _check(measure, resamples, one, other)
    joined = [run.labelled() for run in same_videos([*one, *other])]
    difference = _results(joined[: len(one)]) - _results(joined[len(one) :])
    sums = _sums(joined[0], difference, measure)
    rng = np.random.default_rng(seed)
    gain = _bootstrap(sums, (-1.0, 1.0), resamples, rng)
    return Comparison(gain, _sign_flip(sums.shares_of_groups(), resamples, rng))


def _check(measure: str, resamples: int, *runs: Sequence[Scores]) -> None:
    if not all(runs):
        raise ScoresError("there are no scores of a run: give those of at least one seed")
    if measure not in MEASURES:
        raise UserError(f"there is no measure {measure!r}: use {' or '.join(MEASURES)}", "measure")
    if resamples < 1:
        raise UserError(f"{resamples} resamples are too few: draw at least one", "resamples")


def _results(runs: Sequence[Scores]) -> Floats:
    """In what share of the runs each video is right: (N,)."""
    return np.asarray(np.mean([one.right() for one in runs], 0, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class _Sums:
    """What the videos of each group and class got together, and their number: (G, K).

    Top-1 is the mean over classes where all videos are of one class, so K is 1 for it.
    """

    got: Floats
    videos: Floats

    def shares_of_groups(self) -> Floats:
        """What each group adds to the measure: (G,)."""
        shares: Floats = (self.got / self.videos.sum(0)).mean(1)
        return shares


def _sums(scores: Scores, results: Floats, measure: Measure) -> _Sums:
    _, groups = np.unique(scores.groups or scores.ids, return_inverse=True)
    labels = scores.labels if measure == "mean_class" else np.zeros(len(scores), np.int64)
    _, columns = np.unique(labels, return_inverse=True)
    shape = groups.max() + 1, columns.max() + 1
    flat = groups * shape[1] + columns

    def summed(values: Floats) -> Floats:
        return np.bincount(flat, values, shape[0] * shape[1]).reshape(shape)

    return _Sums(summed(results), summed(np.ones(len(flat))))


def _mean_over_classes(got: Floats, videos: Floats) -> Floats:
    """The measure of sums (…, K), over the classes that have videos: (…)."""
    present = videos > 0
    shares = np.divide(got, videos, out=np.zeros_like(got), where=present)
    means: Floats = shares.sum(-1) / present.sum(-1)
    return means


def _bootstrap(
    sums: _Sums, limits: tuple[float, float], resamples: int, rng: np.random.Generator
) -> Interval:
    """The measure and its percentiles over resamples of the groups."""
    groups, classes = sums.got.shape
    value = float(_mean_over_classes(sums.got.sum(0), sums.videos.sum(0)))
    if groups == 1:
        return Interval(value, *limits)
    # Groups with the same sums are interchangeable: how many of each kind are drawn is all that matters.
    kinds, counts = np.unique(np.hstack([sums.got, sums.videos]), axis=0, return_counts=True)
    drawn = []
    for size in _portions(resamples, max(kinds.shape)):
        times = rng.multinomial(groups, counts / groups, size) @ kinds
        drawn.append(_mean_over_classes(times[:, :classes], times[:, classes:]))
    low, high = np.quantile(np.concatenate(drawn), (0.025, 0.975))
    return Interval(value, float(low), float(high))


def _sign_flip(shares: Floats, resamples: int, rng: np.random.Generator) -> float:
    """The two-sided p-value of a sum whose terms' signs are arbitrary."""
    least = abs(shares.sum()) - 1e-12  # sums in another order are rounded otherwise
    # Terms of one size are interchangeable: how many of them are positive is all that matters.
    sizes, counts = np.unique(np.abs(shares[shares != 0]), return_counts=True)
    if np.log2(counts + 1).sum() <= np.log2(_EXACT):
        totals, chances = np.zeros(1), np.ones(1)
        for size, count in zip(sizes, counts.tolist(), strict=True):
            totals = np.add.outer(totals, size * (2 * np.arange(count + 1) - count)).ravel()
            chances = np.multiply.outer(chances, _fair_binomial(count)).ravel()
        return float(min(1.0, chances[np.abs(totals) >= least].sum()))
    as_large = 0
    for size in _portions(resamples, len(sizes)):
        positive = rng.binomial(counts, 0.5, (size, len(counts)))
        as_large += int((np.abs((2 * positive - counts) @ sizes) >= least).sum())
    return (1 + as_large) / (1 + resamples)


def _fair_binomial(n: int) -> Floats:
    """The chances of 0 to n heads in n throws of a coin: (n + 1)."""
    ways = accumulate(range(n), lambda way, k: way * (n - k) // (k + 1), initial=1)
    return np.array([way / 2**n for way in ways])


def _portions(total: int, width: int) -> Iterator[int]:
    """`total` in parts, each of so many rows as an array of this width may have."""
    most = max(1, _AT_ONCE // max(1, width))
    for start in range(0, total, most):
        yield min(most, total - start)
