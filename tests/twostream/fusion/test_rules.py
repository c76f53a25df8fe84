import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcache import plugins
from flowcache.errors import UserError
from twostream import fusion, stages
from twostream.fusion import shares_of
from twostream.runs.files import SCORES
from twostream.scoring.scores import Scores, ScoresError

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
        ("ab", ()),
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
    one, two = streams()
    fused = fusion.create_rule(rule, {"spatial": 0.3, "temporal": 0.7})([one, two])
    expected = fuse(rule, {"spatial": 3, "temporal": 7}, [one, two])
    np.testing.assert_allclose(fused.logits, expected.logits, atol=1e-6)


# The stage, on files


@pytest.fixture
def runs(tmp_path):
    """Folders of two runs, whose videos are in different orders."""
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
    return [tmp_path / "spatial", tmp_path / "temporal"]


@EVERY
def test_fused_runs_are_joined_by_id_and_written(runs, rule, tmp_path):
    one, two = streams(n=30)
    results = stages.fuse(runs, [0.6], rule, tmp_path / "fused")
    assert [s.name for s in results] == ["spatial", "temporal", "fused"]
    expected = fuse(rule, {"spatial": 0.4, "temporal": 0.6}, [one, two])
    np.testing.assert_allclose(results[2].logits, expected.logits, atol=1e-6)
    written = Scores.load(tmp_path / "fused" / SCORES)
    assert written.ids == one.ids
    np.testing.assert_array_equal(written.logits, results[2].logits)
    for name in ("predictions.csv", "confusion.csv", "confusion.png"):
        assert (tmp_path / "fused" / name).stat().st_size > 0


def test_runs_of_one_stream_are_told_apart_by_their_folders(runs, tmp_path):
    one, two = streams(n=30)
    third = replace(one, logits=one.logits[::-1].copy())
    third.save(tmp_path / "spatial again" / SCORES)
    folders = [*runs, tmp_path / "spatial again"]
    *parts, fused = stages.fuse(folders, (1, 2, 1), "logits", tmp_path / "fused")
    assert [part.name for part in parts] == ["spatial", "temporal", "spatial again"]
    expected = (one.logits.astype(float) + 2 * two.logits + third.logits) / 4
    np.testing.assert_allclose(fused.logits, expected, atol=1e-5)


def test_the_measures_of_a_fusion_are_those_of_its_scores_with_the_shares(runs, tmp_path):
    stages.fuse(runs, (1, 3), "softmax", tmp_path / "fused")
    metrics = json.loads((tmp_path / "fused" / "metrics.json").read_text())
    with np.load(tmp_path / "fused" / SCORES) as file:
        logits, labels = file["logits"], file["labels"]
    right = logits.argmax(1) == labels
    assert metrics["test"]["videos"] == 30
    assert metrics["test"]["top1"] == pytest.approx(right.mean())
    by_class = [right[labels == k].mean() for k in sorted(set(labels.tolist()))]
    assert metrics["test"]["mean_class"] == pytest.approx(np.mean(by_class))
    assert metrics["rule"] == "softmax"
    assert metrics["runs"] == [
        {"run": str(runs[0]), "share": 0.25},
        {"run": str(runs[1]), "share": 0.75},
    ]
    assert "python" in metrics["versions"]


def test_folders_of_one_name_are_refused(runs, tmp_path):
    streams(n=30)[0].save(tmp_path / "other" / "spatial" / SCORES)
    with pytest.raises(UserError, match="of one name: rename one"):
        stages.fuse([runs[0], tmp_path / "other" / "spatial"], [0.5], "softmax", tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_an_unknown_rule_is_refused_with_the_known_ones(runs, tmp_path):
    with pytest.raises(UserError, match=r"'product'.*logits.*softmax"):
        stages.fuse(runs, [0.5], "product", tmp_path / "fused")


def test_a_stream_that_was_not_trained_is_refused_by_its_path(runs, tmp_path):
    with pytest.raises(ScoresError, match="audio"):
        stages.fuse([runs[0], tmp_path / "audio"], [0.5], "softmax", tmp_path / "fused")


def test_runs_that_do_not_belong_together_are_refused_and_nothing_is_written(runs, tmp_path):
    _, two = streams(n=30)
    replace(two, trained_on=("c/y",)).save(runs[1] / SCORES)
    with pytest.raises(ScoresError, match=r"different splits.*c/x.*c/y"):
        stages.fuse(runs, [0.5], "softmax", tmp_path / "fused")
    assert not (tmp_path / "fused").exists()
