"""Results of scores that are written by hand, where every figure is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from made_protocols import make_protocol

from flowcache.errors import UserError
from twostream.protocol.results import Ensemble, no_picture, outcomes, refuse_unfit
from twostream.protocol.summary import gain_sentences, results_table, summarise
from twostream.scoring.scores import Scores

BOTH = ("spatial", "temporal")
PLAIN = [Ensemble("fused", BOTH, "softmax", [0.5, 0.5])]
FITTED = [Ensemble("fused", BOTH, "temperature")]


def test_folds_are_pooled_for_each_seed(tmp_path):
    protocol = make_protocol(tmp_path, folds=3, seeds=(0, 5), right={"spatial": 0.5, "temporal": 1})
    spatial, temporal, fused = outcomes(protocol, PLAIN)
    assert [one.name for one in (spatial, temporal, fused)] == ["spatial", "temporal", "fused"]
    assert len(spatial.pooled) == 2
    for seed, pooled in enumerate(spatial.pooled):
        assert pooled.ids[0].startswith("01/")
        assert len(set(pooled.groups)) == 3 * 2
        expected = np.concatenate([scores.logits for scores in spatial.folds[seed]])
        np.testing.assert_array_equal(pooled.logits, expected)
    assert all(scores.top(1) == 1 for scores in temporal.pooled)


def test_a_fusion_takes_the_runs_that_it_names(tmp_path):
    right = {"spatial": 0.5, "temporal": 0.75, "difference": 1}
    protocol = make_protocol(tmp_path, seeds=(0, 1), right=right)
    ways = [
        Ensemble("one", ("spatial", "temporal"), "softmax", [1, 0]),
        Ensemble("other", ("difference", "spatial"), "logits", [1, 0]),
    ]
    *_, one, other = outcomes(protocol, ways)
    assert (one.parts, other.parts) == (("spatial", "temporal"), ("difference", "spatial"))
    assert [scores.top(1) for scores in one.pooled] == [0.5, 0.5]
    assert [scores.top(1) for scores in other.pooled] == [1, 1]
    over = {
        gain["of"]: gain["over"] for gain in summarise(protocol, outcomes(protocol, ways))["gains"]
    }
    assert over == {"one": "temporal", "other": "difference"}


def test_a_rule_is_fitted_in_each_fold_on_what_that_fold_held_out(tmp_path, monkeypatch):
    protocol = make_protocol(tmp_path, folds=2, right={"spatial": 0.5, "temporal": 0.7})
    seen = []

    def rule_for(rule, names, weights, held_out):
        seen.append((rule, names, weights, held_out[0].ids))
        return lambda streams: streams[1]

    monkeypatch.setattr("twostream.protocol.results.rule_for", rule_for)
    outcomes(protocol, FITTED)
    assert seen == [
        ("temperature", BOTH, (), tuple(f"c{v % 2}/held out {fold} {v}" for v in range(4)))
        for fold in ("01", "02")
    ]


def test_a_rule_may_be_fitted_on_what_tested_in_the_other_folds(tmp_path, monkeypatch):
    protocol = make_protocol(tmp_path, folds=3, right={"spatial": 0.5, "temporal": 0.7})
    seen = []

    def rule_for(rule, names, weights, held_out):
        seen.append([one.ids for one in held_out])
        return lambda streams: streams[1]

    monkeypatch.setattr("twostream.protocol.results.rule_for", rule_for)
    outcomes(protocol, [replace(FITTED[0], fit_on="folds")])
    for fold, (spatial, temporal) in zip(protocol.folds, seen, strict=True):
        assert spatial == temporal
        assert set(spatial) == {i for other in protocol.folds if other != fold for i in other.test}
        assert len(set(spatial)) == len(spatial)


def test_what_is_fitted_in_a_fold_knows_nothing_of_the_labels_that_test_there(tmp_path):
    right = {"spatial": 0.75, "temporal": 0.5}
    protocol = make_protocol(tmp_path, folds=3, videos=24, right=right)
    ways = [replace(FITTED[0], rule="log_linear", fit_on=part) for part in ("validation", "folds")]
    before = outcomes(protocol, ways)[2:]
    for name in BOTH:
        path = tmp_path / "02" / "seed-0" / name / "scores.npz"
        scores = Scores.load(path)
        replace(scores, labels=1 - scores.labels).save(path)
    for one, other in zip(before, outcomes(protocol, ways)[2:], strict=True):
        np.testing.assert_array_equal(one.folds[0][1].logits, other.folds[0][1].logits)


def test_a_run_that_is_not_done_is_named(tmp_path):
    protocol = make_protocol(tmp_path, right={"spatial": 0.5, "temporal": 0.7})
    (tmp_path / "01" / "seed-0" / "temporal" / "scores.npz").unlink()
    with pytest.raises(UserError, match=r"temporal.* does not exist"):
        outcomes(protocol, PLAIN)


def test_a_rule_that_has_nothing_to_be_fitted_on_says_so_and_where(tmp_path):
    protocol = make_protocol(tmp_path, right={"spatial": 0.5, "temporal": 0.7})
    (tmp_path / "02" / "seed-0" / "temporal" / "validation_scores.npz").unlink()
    with pytest.raises(UserError, match="fold 02, seed 0: "):
        outcomes(protocol, FITTED)


def test_a_rule_that_gives_no_probabilities_has_no_likelihood(tmp_path):
    protocol = make_protocol(tmp_path, videos=12, right={"spatial": 0.5, "temporal": 0.75})
    ways = [Ensemble(rule, BOTH, rule) for rule in ("svm", "stacking")]
    figures = summarise(protocol, outcomes(protocol, ways))["outcomes"]
    for name in ("negative_log_likelihood", "calibration_error"):
        assert figures["svm"][name] is None
        assert figures["stacking"][name] >= 0


def test_the_summary_says_what_each_came_to(tmp_path):
    protocol = make_protocol(
        tmp_path, folds=4, seeds=(0, 1), videos=10, right={"spatial": 0.5, "temporal": 0.8}
    )
    summary = summarise(protocol, outcomes(protocol, PLAIN))
    assert (summary["folds"], summary["seeds"], summary["videos"]) == (4, 2, 40)
    temporal = summary["outcomes"]["temporal"]
    assert temporal["top1"]["value"] == pytest.approx(0.8)
    assert temporal["top1"]["low"] <= 0.8 <= temporal["top1"]["high"]
    assert temporal["top1_of_folds"] == pytest.approx([0.8] * 4)
    assert temporal["top1_of_seeds"] == pytest.approx([0.8] * 2)
    assert {gain["over"] for gain in summary["gains"]} == {"temporal"}
    assert {gain["measure"] for gain in summary["gains"]} == {"top1", "mean_class"}
    text = "".join(str(column.header) for column in results_table(summary).columns)
    assert "mean class" in text


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "helps"), (-0.2, -0.01, "harms"), (-0.1, 0.1, "told apart"), (0, 0, "told apart")],
)
def test_a_gain_is_called_one_where_its_interval_says_so(low, high, verdict):
    gain = SimpleNamespace(of="fused", over="temporal", measure="top1", p=0.04)
    gains = [vars(gain) | {"value": (low + high) / 2, "low": low, "high": high}]
    (sentence,) = gain_sentences({"gains": gains})
    assert verdict in sentence


def test_a_group_that_tests_here_is_left_out_of_what_tested_elsewhere(tmp_path, monkeypatch):
    """A list of HMDB51 leaves videos unused, of whose film others test."""
    protocol = make_protocol(tmp_path, folds=3, right={"spatial": 0.5, "temporal": 0.7})
    of_here = Scores.load(tmp_path / "01" / "seed-0" / "spatial" / "scores.npz").groups[0]
    for name in BOTH:
        path = tmp_path / "02" / "seed-0" / name / "scores.npz"
        scores = Scores.load(path)
        replace(scores, groups=(of_here, *scores.groups[1:])).save(path)
    seen = []

    def rule_for(rule, names, weights, held_out):
        seen.append(held_out[0])
        return lambda streams: streams[1]

    monkeypatch.setattr("twostream.protocol.results.rule_for", rule_for)
    outcomes(protocol, [replace(FITTED[0], fit_on="folds")])
    assert of_here not in seen[0].groups
    assert len(seen[0]) == 7
    assert len(seen[2]) == 8


@pytest.mark.parametrize("ensembles", [PLAIN, [replace(FITTED[0], fit_on="folds")]])
def test_folds_of_other_classes_are_refused_and_not_taken_together(tmp_path, ensembles):
    protocol = make_protocol(tmp_path, folds=2, right={"spatial": 0.5, "temporal": 0.7})
    for name in BOTH:
        for file in ("scores.npz", "validation_scores.npz"):
            path = tmp_path / "02" / "seed-0" / name / file
            scores = Scores.load(path)
            logits = np.pad(scores.logits, ((0, 0), (0, 1)))
            replace(scores, classes=("c0", "c1", "new"), logits=logits).save(path)
    with pytest.raises(UserError, match=r"folds have different classes.*new"):
        summarise(protocol, outcomes(protocol, ensembles))


def test_a_video_that_the_cache_has_lost_is_named(toy, tmp_path):
    protocol = make_protocol(tmp_path, right={"spatial": 0.5})
    with pytest.raises(UserError, match="c0/other"):
        no_picture(protocol, toy)


@pytest.mark.parametrize(
    ("ensemble", "told"),
    [
        (Ensemble("fused", ("spatial", "sound")), "fuses sound, which is not trained"),
        (Ensemble("fused", ("spatial",)), "do not fit 1 runs"),
        (Ensemble("fused", BOTH, "mean"), "'mean'"),
        (Ensemble("no picture", BOTH), "two results are called no picture"),
        (Ensemble("spatial", BOTH), "two results are called spatial"),
    ],
)
def test_ensembles_that_cannot_be_are_refused_before_anything_is_trained(tmp_path, ensemble, told):
    protocol = make_protocol(tmp_path, right={"spatial": 0.5, "temporal": 0.7})
    refuse_unfit(protocol, PLAIN)
    with pytest.raises(UserError, match=told):
        refuse_unfit(protocol, [ensemble])
