from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_scores import told_streams

from flowcache import plugins
from flowcache.errors import UserError
from twostream import fusion
from twostream.fusion import create_rule, shares_of

NAMES = plugins.names(fusion)
LEARNT = {"stacking", "svm"}
"""They learn the classes anew, and know no shares and no probabilities of a stream."""

EVERY = pytest.mark.parametrize("rule", NAMES)
POOLED = pytest.mark.parametrize("rule", sorted({*NAMES} - LEARNT))
WITH_SHARES = pytest.mark.parametrize("rule", sorted({*NAMES} - LEARNT - {"log_linear"}))
WEIGHT = st.floats(0, 10, allow_nan=False)
HELD_OUT = told_streams(seed=77, n=40, part="held out")
"""On which the rules are fitted that want it."""


def streams(seed=0, n=9, k=5, scale=3.0):
    """Two streams whose logits are noise."""
    rng = np.random.default_rng(seed)
    return [
        replace(one, logits=rng.normal(0, scale, (n, k)).astype(np.float32))
        for one in told_streams(seed=seed, n=n, k=k)
    ]


def fuse(rule, weights, given_streams):
    return create_rule(rule, weights, HELD_OUT)(given_streams)


def probabilities(one):
    return torch.softmax(torch.from_numpy(one.logits.astype(np.float64)), 1).numpy()


def order(one):
    """The classes of each video from the least to the most probable."""
    return one.logits.argsort(1)


def test_there_are_the_usual_rules():
    averages = {"softmax", "logits", "product", "max"}
    assert averages | LEARNT | {"temperature", "per_class", "log_linear"} <= set(NAMES)


@settings(max_examples=40, deadline=None)
@given(WEIGHT, WEIGHT, st.integers(0, 999), st.sampled_from([0.1, 3.0, 30.0]))
def test_softmax_fusion_is_the_weighted_mean_of_probabilities(a, b, seed, scale):
    if a + b < 1e-3:
        return
    one, two = streams(seed, scale=scale)
    fused = fuse("softmax", {"spatial": a, "temporal": b}, [one, two])
    expected = (a * probabilities(one) + b * probabilities(two)) / (a + b)
    # The softmax of the fused logits is that mean: it is applied once to each stream, and never twice.
    np.testing.assert_allclose(fused.softmax(), expected, atol=1e-6)
    np.testing.assert_allclose(probabilities(fused), expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(WEIGHT, WEIGHT, st.integers(0, 999))
def test_logits_fusion_is_the_weighted_mean_of_logits(a, b, seed):
    if a + b < 1e-3:
        return
    one, two = streams(seed)
    fused = fuse("logits", {"spatial": a, "temporal": b}, [one, two])
    expected = (a * one.logits.astype(float) + b * two.logits.astype(float)) / (a + b)
    np.testing.assert_allclose(fused.logits, expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(WEIGHT, WEIGHT, st.integers(0, 999))
def test_the_product_has_exponents_of_the_mean_1(a, b, seed):
    if a + b < 1e-3:
        return
    one, two = streams(seed)
    product = probabilities(one) ** (2 * a / (a + b)) * probabilities(two) ** (2 * b / (a + b))
    fused = fuse("product", {"spatial": a, "temporal": b}, [one, two])
    np.testing.assert_allclose(
        probabilities(fused), product / product.sum(1, keepdims=True), atol=1e-6
    )
    mean = fuse("logits", {"spatial": a, "temporal": b}, [one, two])
    np.testing.assert_array_equal(order(fused), order(mean))


@settings(max_examples=40, deadline=None)
@given(WEIGHT, WEIGHT, st.integers(0, 999))
def test_the_maximum_is_that_of_the_weighted_probabilities(a, b, seed):
    if a + b < 1e-3:
        return
    one, two = streams(seed)
    most = np.maximum(a * probabilities(one), b * probabilities(two))
    fused = fuse("max", {"spatial": a, "temporal": b}, [one, two])
    np.testing.assert_allclose(probabilities(fused), most / most.sum(1, keepdims=True), atol=1e-6)


def test_averages_of_probabilities_and_of_logits_differ_where_one_stream_is_much_surer():
    one, two = streams(n=1, k=3)
    sure = replace(one, logits=np.array([[30.0, 0.0, 0.0]], np.float32))
    unsure = replace(two, logits=np.array([[0.0, 1.0, 0.9]], np.float32))
    weights = {"spatial": 0.1, "temporal": 0.9}
    by_softmax = fuse("softmax", weights, [sure, unsure])
    by_logits = fuse("logits", weights, [sure, unsure])
    assert by_softmax.logits.argmax() == 1
    assert by_logits.logits.argmax() == 0


@WITH_SHARES
@pytest.mark.parametrize("only", [0, 1])
def test_a_weight_of_zero_leaves_the_other_stream(rule, only):
    given_streams = streams()
    weights = {"spatial": 1.0 - only, "temporal": float(only)}
    fused = fuse(rule, weights, given_streams)
    np.testing.assert_array_equal(order(fused), order(given_streams[only]))
    assert fused.top(1) == given_streams[only].top(1)


@WITH_SHARES
def test_weights_go_by_name_and_only_their_ratio_counts(rule):
    one, two = streams()
    fused = fuse(rule, {"temporal": 1.5, "spatial": 1.0}, [one, two])
    same = fuse(rule, {"spatial": 2.0, "temporal": 3.0}, [one, two])
    turned = fuse(rule, {"spatial": 1.0, "temporal": 1.5}, [two, one])
    for other in (same, turned):
        np.testing.assert_allclose(fused.logits, other.logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["logits", "max", "softmax"])
def test_averages_of_equal_streams_are_what_they_are(rule):
    one, _ = streams()
    fused = fuse(rule, {"spatial": 0.3, "temporal": 0.7}, [one, replace(one, name="temporal")])
    np.testing.assert_allclose(probabilities(fused), probabilities(one), atol=1e-6)


@pytest.mark.parametrize("rule", ["log_linear", "product", "temperature"])
def test_equal_streams_that_are_made_surer_keep_the_order_of_their_classes(rule):
    one, _ = streams()
    pair = [replace(one, name=name) for name in ("spatial", "temporal")]
    held_out = [replace(HELD_OUT[0], name=each.name) for each in pair]
    fused = create_rule(rule, {"spatial": 0.3, "temporal": 0.7}, held_out)(pair)
    np.testing.assert_array_equal(order(fused), order(one))


@EVERY
def test_the_result_keeps_who_is_who(rule):
    one, two = streams()
    fused = fuse(rule, {"spatial": 0.3, "temporal": 0.7}, [one, two])
    assert (fused.ids, fused.classes, fused.trained_on) == (one.ids, one.classes, one.trained_on)
    assert fused.groups == one.groups
    np.testing.assert_array_equal(fused.labels, one.labels)
    assert fused.logits.dtype == np.float32
    assert fused.name == "fused"


@EVERY
def test_streams_go_by_their_names_and_not_by_their_order(rule):
    one, two = streams()
    weights = {"spatial": 0.3, "temporal": 0.7}
    fused, turned = fuse(rule, weights, [one, two]), fuse(rule, weights, [two, one])
    np.testing.assert_allclose(turned.logits, fused.logits, rtol=1e-5, atol=1e-6)


@EVERY
def test_probabilities_that_vanish_stay_numbers(rule):
    one, two = streams(n=2)
    logits = np.array([[5000.0, 0, -5000, 0, 0], [0.0, 0, 800, 0, 0]], np.float32)
    fused = fuse(
        rule,
        {"spatial": 0.5, "temporal": 0.5},
        [replace(one, logits=logits), replace(two, logits=logits)],
    )
    assert np.isfinite(fused.logits).all()
    assert fused.logits.argmax(1).tolist() == [0, 2]


# Shares


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((0.5,), {"a": 0.5, "b": 0.5}),
        ((0.75,), {"a": 0.25, "b": 0.75}),
        ((0,), {"a": 1.0, "b": 0.0}),
        ((1,), {"a": 0.0, "b": 1.0}),
        ((1, 1.5), {"a": 0.4, "b": 0.6}),
        ((0, 3), {"a": 0.0, "b": 1.0}),
        ((), {"a": 0.5, "b": 0.5}),
        ((), {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
        ((1, 2, 5), {"a": 0.125, "b": 0.25, "c": 0.625}),
    ],
)
def test_a_single_number_is_the_second_runs_share_and_more_are_weights(weights, expected):
    assert shares_of(list(expected), weights) == pytest.approx(expected)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=6))
def test_shares_add_up_to_one_and_keep_the_ratios(weights):
    names = [f"run {n}" for n in range(len(weights))]
    shares = shares_of(names, weights)
    assert list(shares) == names
    assert sum(shares.values()) == pytest.approx(1)
    for name, weight in zip(names, weights, strict=True):
        assert shares[name] / shares[names[0]] == pytest.approx(weight / weights[0])


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        ("a", (1,)),
        ("", ()),
        ("a", "fit"),
        ("ab", (1.01,)),
        ("ab", (-0.01,)),
        ("ab", (float("nan"),)),
        ("ab", (0, 0)),
        ("ab", (-1, 2)),
        ("ab", (float("nan"), 1)),
        ("ab", (float("inf"), 1)),
        ("ab", (1, 1, 1)),
        ("abc", (0.5,)),
        ("abc", (0.5, 0.5)),
    ],
    ids=str,
)
def test_weights_that_make_no_mean_are_refused(names, weights):
    with pytest.raises(UserError, match="weight") as caught:
        shares_of(list(names), weights)
    assert caught.value.parameter == "weights"


@EVERY
def test_the_rules_are_made_by_name(rule):
    assert fusion.names() == NAMES
    ready = create_rule(rule, {"spatial": 0.3, "temporal": 0.7}, HELD_OUT)
    assert ready.name == rule
    assert (ready.shares is None) == (rule in LEARNT | {"log_linear"})
    with pytest.raises(UserError, match=r"there is no fusion 'mean': choose from .*softmax"):
        create_rule("mean", {"spatial": 0.3, "temporal": 0.7})
