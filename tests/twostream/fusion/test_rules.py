from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcache import plugins
from flowcache.errors import UserError
from twostream import fusion
from twostream.scoring.scores import Scores, ScoresError
from twostream.stages import SCORES, fuse_runs

NAMES = plugins.names(fusion)
EVERY = pytest.mark.parametrize("rule", NAMES)
WEIGHT = st.floats(0, 10, allow_nan=False)


def streams(seed=0, n=9, k=5, scale=3.0):
    rng = np.random.default_rng(seed)
    common = {
        "ids": tuple(f"c/{i}" for i in range(n)),
        "labels": rng.integers(0, k, n),
        "classes": tuple(f"class {c}" for c in range(k)),
        "trained_on": ("c/x",),
    }
    return [
        Scores(name=name, logits=rng.normal(0, scale, (n, k)).astype(np.float32), **common)
        for name in ("spatial", "temporal")
    ]


def fuse(rule, weights, given_streams):
    return plugins.create(fusion, rule, weights=weights)(given_streams)


def probabilities(one):
    return torch.softmax(torch.from_numpy(one.logits.astype(np.float64)), 1).numpy()


def test_there_are_both_usual_rules():
    assert {"softmax", "logits"} <= set(NAMES)


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


def test_the_two_rules_differ_where_one_stream_is_much_surer():
    one, two = streams(n=1, k=3)
    sure = replace(one, logits=np.array([[30.0, 0.0, 0.0]], np.float32))
    unsure = replace(two, logits=np.array([[0.0, 1.0, 0.9]], np.float32))
    weights = {"spatial": 0.1, "temporal": 0.9}
    by_softmax = fuse("softmax", weights, [sure, unsure])
    by_logits = fuse("logits", weights, [sure, unsure])
    assert by_softmax.logits.argmax() == 1
    assert by_logits.logits.argmax() == 0


@EVERY
@pytest.mark.parametrize("only", [0, 1])
def test_a_weight_of_zero_leaves_the_other_stream(rule, only):
    given_streams = streams()
    weights = {"spatial": 1.0 - only, "temporal": float(only)}
    fused = fuse(rule, weights, given_streams)
    np.testing.assert_allclose(probabilities(fused), probabilities(given_streams[only]), atol=1e-6)
    assert fused.top(1) == given_streams[only].top(1)


@EVERY
def test_weights_go_by_name_and_only_their_ratio_counts(rule):
    one, two = streams()
    fused = fuse(rule, {"temporal": 1.5, "spatial": 1.0}, [one, two])
    same = fuse(rule, {"spatial": 2.0, "temporal": 3.0}, [one, two])
    turned = fuse(rule, {"spatial": 1.0, "temporal": 1.5}, [two, one])
    for other in (same, turned):
        np.testing.assert_allclose(fused.logits, other.logits, rtol=1e-5, atol=1e-6)


@EVERY
def test_equal_streams_fuse_to_themselves_and_the_result_keeps_who_is_who(rule):
    one, _ = streams()
    fused = fuse(rule, {"spatial": 0.3, "temporal": 0.7}, [one, replace(one, name="temporal")])
    np.testing.assert_allclose(probabilities(fused), probabilities(one), atol=1e-6)
    assert (fused.ids, fused.classes, fused.trained_on) == (one.ids, one.classes, one.trained_on)
    np.testing.assert_array_equal(fused.labels, one.labels)
    assert fused.logits.dtype == np.float32
    assert fused.name == "fused"


@EVERY
def test_probabilities_that_vanish_stay_numbers(rule):
    one, two = streams(n=2, k=3)
    logits = np.array([[5000.0, 0.0, -5000.0], [0.0, 0.0, 800.0]], np.float32)
    fused = fuse(
        rule,
        {"spatial": 0.5, "temporal": 0.5},
        [replace(one, logits=logits), replace(two, logits=logits)],
    )
    assert np.isfinite(fused.logits).all()
    assert fused.logits.argmax(1).tolist() == [0, 2]


# The command's work, on files


@pytest.fixture
def runs(tmp_path):
    one, two = streams(n=30)
    order = np.random.default_rng(3).permutation(30)
    two = replace(
        two,
        ids=tuple(two.ids[i] for i in order),
        logits=two.logits[order],
        labels=two.labels[order],
    )
    for scores in (one, two):
        scores.save(tmp_path / scores.name / SCORES)
    return tmp_path


@EVERY
def test_fused_runs_are_joined_by_id_and_written(runs, rule):
    one, two = streams(n=30)
    results = fuse_runs(runs, {"spatial": 0.4, "temporal": 0.6}, rule)
    assert [s.name for s in results] == ["spatial", "temporal", "fused"]
    expected = fuse(rule, {"spatial": 0.4, "temporal": 0.6}, [one, two])
    np.testing.assert_allclose(results[2].logits, expected.logits, atol=1e-6)
    written = Scores.load(runs / "fused" / SCORES)
    assert written.ids == one.ids
    np.testing.assert_array_equal(written.logits, results[2].logits)
    for name in ("predictions.csv", "confusion.csv", "confusion.png"):
        assert (runs / "fused" / name).stat().st_size > 0


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"spatial": 1.0},
        {"spatial": 0.0, "temporal": 0.0},
        {"spatial": -1.0, "temporal": 2.0},
        {"spatial": float("nan"), "temporal": 1.0},
        {"spatial": float("inf"), "temporal": 1.0},
    ],
    ids=str,
)
def test_weights_that_make_no_mean_are_refused(runs, weights):
    with pytest.raises(UserError, match="weight"):
        fuse_runs(runs, weights, "softmax")
    assert not (runs / "fused").exists()


def test_an_unknown_rule_is_refused_with_the_known_ones(runs):
    with pytest.raises(UserError, match=r"'product'.*logits.*softmax"):
        fuse_runs(runs, {"spatial": 1, "temporal": 1}, "product")


def test_a_stream_that_was_not_trained_is_refused_by_its_path(runs):
    with pytest.raises(ScoresError, match="audio"):
        fuse_runs(runs, {"spatial": 1, "audio": 1}, "softmax")


def test_runs_that_do_not_belong_together_are_refused_and_nothing_is_written(runs):
    _, two = streams(n=30)
    replace(two, trained_on=("c/y",)).save(runs / "temporal" / SCORES)
    with pytest.raises(ScoresError, match=r"different splits.*c/x.*c/y"):
        fuse_runs(runs, {"spatial": 1, "temporal": 1}, "softmax")
    assert not (runs / "fused").exists()
