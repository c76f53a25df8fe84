"""What is fitted on scores that training held back: shares, temperatures, exponents."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from made_scores import told_streams

from flowcache import plugins
from flowcache.errors import UserError
from twostream import fusion
from twostream.fusion import create_rule, needs_held_out, rule_for
from twostream.scoring.scores import ScoresError

NAMES = plugins.names(fusion)
EVERY = pytest.mark.parametrize("rule", NAMES)
ASKED = {
    name: set(inspect.signature(plugins.module(fusion, name).create).parameters) for name in NAMES
}
WITH_SHARES = pytest.mark.parametrize("rule", [n for n in NAMES if "weights" in ASKED[n]])
FITTED = pytest.mark.parametrize("rule", [n for n in NAMES if "held_out" in ASKED[n]])

EQUAL = {"spatial": 0.5, "temporal": 0.5}


def held_out(**how):
    return told_streams(**{"seed": 5, "part": "held out"} | how)


def shuffled(streams, seed=0):
    labels = np.random.default_rng(seed).permutation(streams[0].labels)
    return [replace(one, labels=labels) for one in streams]


def fitted_shares(rule, streams):
    return np.array(list(create_rule(rule, None, streams).shares.values()))


def negative_log_likelihood(logits, labels):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return -np.log((powers / powers.sum(1, keepdims=True))[np.arange(len(labels)), labels]).sum()


# What a rule is fitted on


@EVERY
def test_nothing_that_is_fitted_moves_with_the_labels_of_the_test(rule):
    streams, held = told_streams(seed=1, n=30), held_out()
    one, other = (create_rule(rule, None, held) for _ in range(2))
    fused, again = one(streams), other(shuffled(streams))
    np.testing.assert_array_equal(fused.logits, again.logits)
    assert (one.shares, one.parameters) == (other.shares, other.parameters)


@EVERY
def test_what_is_fitted_moves_with_the_labels_that_were_held_back(rule):
    streams, held = told_streams(seed=1, n=30), held_out(tells=(0.5, 3.0))
    fused = create_rule(rule, None, held)(streams)
    assert not np.allclose(fused.logits, create_rule(rule, None, shuffled(held))(streams).logits)


@EVERY
def test_a_rule_says_what_it_needs(rule):
    assert needs_held_out(rule) == ("held_out" in ASKED[rule])
    assert needs_held_out(rule, "fit")
    with pytest.raises(
        UserError, match=r"fitted on scores .* there are none: train with"
    ) as caught:
        create_rule(rule, None)
    assert caught.value.parameter == ("rule" if needs_held_out(rule) else "weights")
    if not needs_held_out(rule):
        assert create_rule(rule, EQUAL).held_out == 0
    assert create_rule(rule, None, held_out()).held_out == 40


@EVERY
def test_a_video_on_which_a_rule_was_fitted_is_not_fused_by_it(rule):
    ready = create_rule(rule, None, held_out())
    with pytest.raises(ScoresError, match=f"the rule {rule} was fitted on 40 of .* held out/0"):
        ready(held_out())


def test_videos_that_were_trained_on_are_not_held_out():
    one, other = held_out()
    seen = [replace(each, trained_on=("held out/3",)) for each in (one, other)]
    with pytest.raises(ScoresError, match=r"trained on 1 of the videos .* held out/3"):
        create_rule("temperature", None, seen)


def test_a_fit_wants_labels_and_the_same_runs():
    one, other = held_out()
    labels = np.where(np.arange(40) == 7, -1, one.labels)
    with pytest.raises(ScoresError, match="a video has none"):
        create_rule("softmax", None, [replace(each, labels=labels) for each in (one, other)])
    with pytest.raises(
        UserError, match=r"spatial, temporal are to be fused, and .* temporal, spatial"
    ):
        rule_for("softmax", ["spatial", "temporal"], "fit", [other, one])


def test_held_out_scores_are_joined_by_id():
    one, other = held_out()
    turned = replace(
        other,
        ids=other.ids[::-1],
        logits=other.logits[::-1],
        labels=other.labels[::-1],
        groups=other.groups[::-1],
    )
    streams = told_streams(seed=1)
    for rule in NAMES:
        straight, joined = (create_rule(rule, None, [one, each]) for each in (other, turned))
        np.testing.assert_array_equal(straight(streams).logits, joined(streams).logits)


@pytest.mark.parametrize("rule", [n for n in NAMES if "weights" not in ASKED[n]])
def test_weights_for_a_rule_without_shares_are_refused_and_fit_is_what_it_does(rule):
    names, held = ["spatial", "temporal"], held_out()
    with pytest.raises(UserError, match=f"the rule {rule} has no shares") as caught:
        rule_for(rule, names, (1, 2), held)
    assert caught.value.parameter == "weights"
    streams = told_streams(seed=1)
    fused, same = (rule_for(rule, names, how, held)(streams).logits for how in ((), "fit"))
    np.testing.assert_array_equal(fused, same)


# Shares


def test_the_shares_are_those_that_a_search_through_all_finds():
    one, two = held_out(n=100, tells=(1.5, 2.0), sureness=(2.0, 1.0))
    grid = np.linspace(0, 1, 201)
    costs = [
        negative_log_likelihood(
            np.log((1 - share) * one.softmax() + share * two.softmax()), one.labels
        )
        + (share - 0.5) ** 2 / 2 / 0.25**2
        for share in grid
    ]
    best = grid[int(np.argmin(costs))]
    assert 0.55 < best < 0.95
    assert fitted_shares("softmax", [one, two])[1] == pytest.approx(best, abs=0.026)


def test_of_three_streams_no_shares_on_the_simplex_are_likelier():
    streams = held_out(n=200, tells=(0.5, 1.5, 1.5), sureness=(2, 1, 1), names=("a", "b", "c"))
    each = np.array([one.softmax().astype(float) for one in streams])

    def cost(shares):
        logits = np.log(np.tensordot(shares, each, 1))
        prior = ((np.asarray(shares) - 1 / 3) ** 2).sum() / 2 / (2 * 0.25**2)
        return negative_log_likelihood(logits, streams[0].labels) + prior

    steps = [(a, b, 20 - a - b) for a in range(21) for b in range(21 - a)]
    least = min(cost(np.array(step) / 20) for step in steps)
    shares = fitted_shares("softmax", streams)
    assert shares.sum() == pytest.approx(1)
    assert cost(shares) < least + 0.1
    assert shares[0] < 0.2


@WITH_SHARES
def test_streams_that_are_alike_share_alike(rule):
    one, _ = held_out()
    pair = [replace(one, name=name) for name in ("spatial", "temporal")]
    np.testing.assert_allclose(fitted_shares(rule, pair), 0.5)


@WITH_SHARES
def test_a_stream_of_noise_loses_its_share_the_more_videos_say_so(rule):
    few, many = (
        fitted_shares(rule, held_out(n=n, tells=(0.0, 2.0), sureness=(8.0, 1.0)))[0]
        for n in (10, 200)
    )
    assert many <= 0.1
    assert many <= few < 0.5


# Temperatures


@pytest.mark.parametrize("sureness", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("rule", ["temperature", "log_linear"])
def test_the_temperature_takes_back_by_how_much_a_stream_is_too_sure(rule, sureness):
    streams = held_out(n=4000, tells=(1.5, 1.0), sureness=(sureness, 1.0))
    found = create_rule(rule, EQUAL, streams).parameters["temperatures"]
    assert found["spatial"] == pytest.approx(sureness, rel=0.1)
    assert found["temporal"] == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("n", [1, 5, 30])
def test_the_temperature_of_a_stream_that_is_always_right_stays_within_reason(n):
    streams = held_out(n=n, tells=(9.0, 9.0))
    assert streams[0].top(1) == 1
    found = create_rule("temperature", EQUAL, streams).parameters["temperatures"]
    assert 0.05 < found["spatial"] < 1.001


def test_a_stream_that_is_too_sure_no_longer_drowns_the_other():
    how = {"tells": (0.7, 2.0), "sureness": (12.0, 1.0)}
    streams = told_streams(seed=1, n=2000, **how)
    plain, scaled = (
        create_rule(rule, EQUAL, held_out(**how))(streams).top(1)
        for rule in ("softmax", "temperature")
    )
    assert plain < streams[1].top(1) < scaled + 0.01


# Log-linear pool


def test_the_exponents_are_those_by_which_the_labels_were_drawn():
    rng, (one, two) = np.random.default_rng(0), held_out(n=6000, tells=(1.0, 1.0))
    logits = 0.8 * one.logits + 0.3 * two.logits
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # a draw from its softmax
    ready = create_rule("log_linear", None, [replace(s, labels=labels) for s in (one, two)])
    found = [
        ready.parameters["exponents"][name] / ready.parameters["temperatures"][name]
        for name in ("spatial", "temporal")
    ]
    np.testing.assert_allclose(found, [0.8, 0.3], atol=0.05)


def test_a_stream_that_is_wrong_is_ignored_and_not_turned_round():
    one, two = held_out(n=200, tells=(1.5, 2.0))
    wrong = replace(one, logits=-one.logits)
    parameters = create_rule("log_linear", None, [wrong, two]).parameters
    exponent, temperature = (parameters[what]["spatial"] for what in ("exponents", "temperatures"))
    assert 0 <= exponent / temperature < 0.01


def test_few_videos_leave_the_exponents_nearly_equal():
    few = create_rule("log_linear", None, held_out(n=1, k=2, tells=(0.0, 0.0)))
    assert list(few.parameters["exponents"].values()) == pytest.approx([0.5, 0.5], abs=0.1)


def test_the_log_linear_pool_is_better_than_the_plain_average_and_seldom_below_the_better_stream():
    """The rule's reason for being, over streams of all kinds and 20 to 50 held-out videos."""
    rng, gains, losses = np.random.default_rng(0), [], []
    for seed in range(40):
        how = {
            "k": int(rng.choice([2, 5, 10])),
            "tells": tuple(rng.uniform(0.0, 3.0, 2)),
            "sureness": tuple(np.exp(rng.normal(0.3, 0.7, 2))),
        }
        held = held_out(seed=seed, n=int(rng.integers(20, 51)), **how)
        streams = told_streams(seed=100 + seed, n=2000, **how)
        ready = create_rule("log_linear", None, held)
        plain = create_rule("softmax", EQUAL)
        top1 = ready(streams).top(1)
        gains.append(top1 - plain(streams).top(1))
        losses.append(top1 - max(one.top(1) for one in streams))
    assert np.mean(gains) > 0.01
    assert np.mean(losses) > 0
    assert np.mean(np.array(losses) < -0.01) < 0.15


# Shares for each class


def test_the_shares_of_each_class_are_those_that_a_plain_search_finds():
    from scipy.optimize import minimize

    streams = held_out(n=60, k=3, tells=(1.0, 1.5))
    each, labels = [one.softmax().astype(float) for one in streams], streams[0].labels
    common = np.array([[0.4], [0.6]])

    def shares_of(flat):
        powers = common * np.exp(flat.reshape(2, 3))
        return powers / powers.sum(0)

    def cost(flat):
        shares, total = shares_of(flat), 0.0
        for n, label in enumerate(labels):
            pooled = [sum(shares[r, k] * each[r][n, k] for r in range(2)) for k in range(3)]
            total -= np.log(pooled[label] / sum(pooled))
        return total + (flat**2).sum() / 2 / 0.25**2

    expected = shares_of(minimize(cost, np.zeros(6), method="BFGS").x)
    ready = create_rule("per_class", {"spatial": 0.4, "temporal": 0.6}, streams)
    found = ready.parameters["shares by class"]
    got = np.array([[found[f"class {k}"][s] for k in range(3)] for s in ("spatial", "temporal")])
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_a_class_that_one_stream_alone_tells_gets_more_of_that_stream():
    streams = held_out(n=400, k=4, tells=(2.0, 2.0))
    rng = np.random.default_rng(0)
    blind = [streams[0].labels < 2, streams[0].labels >= 2]
    noise = rng.normal(0, 1, streams[0].logits.shape).astype(np.float32)
    halves = [
        replace(one, logits=np.where(rows[:, None], noise, one.logits))
        for one, rows in zip(streams, blind, strict=True)
    ]
    shares = create_rule("per_class", EQUAL, halves).parameters["shares by class"]
    temporal = [shares[f"class {k}"]["temporal"] for k in range(4)]
    assert min(temporal[:2]) > 0.5 > max(temporal[2:])
