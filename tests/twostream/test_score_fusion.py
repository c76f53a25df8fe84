"""The last stage, on files: the scores of runs, fused."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from made_scores import in_another_order, told_streams

from flowcache import plugins
from flowcache.errors import UserError
from twostream import fusion, score_fusion
from twostream.fusion import create_rule
from twostream.runs.files import SCORES, SPLIT, VALIDATION_SCORES
from twostream.score_fusion import Gain, fuse
from twostream.scoring.intervals import Comparison, Interval, compare
from twostream.scoring.scores import Scores, ScoresError

NAMES = plugins.names(fusion)
EVERY = pytest.mark.parametrize("rule", NAMES)
STREAMS = told_streams(seed=1, n=30)
HELD_OUT = told_streams(seed=2, n=40, part="held out")


@pytest.fixture
def runs(tmp_path):
    """Folders of two runs, whose videos are in different orders."""
    for name, (one, two) in ((SCORES, STREAMS), (VALIDATION_SCORES, HELD_OUT)):
        for scores in (one, in_another_order(two)):
            scores.save(tmp_path / scores.name / name)
    return [tmp_path / "spatial", tmp_path / "temporal"]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """They take longer than all else; the test that looks at them takes this back."""
    for name in ("write_confusion_png", "write_curve_png"):
        monkeypatch.setattr(score_fusion, name, lambda *_: None)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


@EVERY
def test_fused_runs_are_joined_by_id_and_written(runs, rule, tmp_path):
    result = fuse(runs, "fit", rule, tmp_path / "fused")
    assert [one.name for one in (*result.runs, result.fused)] == ["spatial", "temporal", "fused"]
    expected = create_rule(rule, None, HELD_OUT)(STREAMS)
    np.testing.assert_allclose(result.fused.logits, expected.logits, atol=1e-6)
    written = Scores.load(tmp_path / "fused" / SCORES)
    assert (written.ids, written.groups) == (STREAMS[0].ids, STREAMS[0].groups)
    np.testing.assert_array_equal(written.logits, result.fused.logits)
    for name in ("predictions.csv", "confusion.csv"):
        assert (tmp_path / "fused" / name).stat().st_size > 0


def test_a_fusion_is_drawn(runs, tmp_path, monkeypatch):
    monkeypatch.undo()
    fuse(runs, (), "softmax", tmp_path / "fused")
    for name in ("confusion.png", "weights.png"):
        assert (tmp_path / "fused" / name).stat().st_size > 0


@EVERY
def test_what_merely_ranks_has_no_measure_of_probabilities(runs, rule, tmp_path):
    result = fuse(runs, "fit" if rule != "svm" else (), rule, tmp_path / "fused")
    ranks = rule == "svm"
    measures = metrics_of(tmp_path / "fused")["test"]
    assert result.fused.ranks_only == Scores.load(tmp_path / "fused" / SCORES).ranks_only == ranks
    for name in ("calibration_error", "negative_log_likelihood"):
        assert (measures[name] is None) == ranks
    with (tmp_path / "fused" / "predictions.csv").open(newline="") as file:
        assert {row["probability"] == "" for row in csv.DictReader(file)} == {ranks}


@EVERY
def test_what_is_fitted_does_not_move_when_the_labels_of_the_test_are_shuffled(
    runs, rule, tmp_path
):
    fuse(runs, "fit", rule, tmp_path / "fused")
    before, logits = metrics_of(tmp_path / "fused"), Scores.load(tmp_path / "fused" / SCORES).logits
    labels = np.random.default_rng(0).permutation(STREAMS[0].labels)
    for folder, one in zip(runs, STREAMS, strict=True):
        replace(one, labels=labels).save(folder / SCORES)
    fuse(runs, "fit", rule, tmp_path / "again")
    after = metrics_of(tmp_path / "again")
    for what in ("runs", "parameters", "held_out"):
        assert before[what] == after[what]
    np.testing.assert_array_equal(Scores.load(tmp_path / "again" / SCORES).logits, logits)
    assert before["test"]["top1"] > after["test"]["top1"]


def test_runs_of_one_stream_are_told_apart_by_their_folders(runs, tmp_path):
    one, two = STREAMS
    third = replace(one, logits=one.logits[::-1].copy())
    third.save(tmp_path / "spatial again" / SCORES)
    folders = [*runs, tmp_path / "spatial again"]
    result = fuse(folders, (1, 2, 1), "logits", tmp_path / "fused")
    assert [part.name for part in result.runs] == ["spatial", "temporal", "spatial again"]
    expected = (one.logits.astype(float) + 2 * two.logits + third.logits) / 4
    np.testing.assert_allclose(result.fused.logits, expected, atol=1e-5)
    assert result.curve is None
    assert not (tmp_path / "fused" / "weights.csv").exists()


def test_no_curve_of_an_earlier_fusion_of_two_runs_stays(runs, tmp_path):
    fuse(runs, (), "softmax", tmp_path / "fused")
    assert (tmp_path / "fused" / "weights.csv").exists()
    STREAMS[0].save(tmp_path / "spatial again" / SCORES)
    fuse([*runs, tmp_path / "spatial again"], (), "softmax", tmp_path / "fused")
    assert not (tmp_path / "fused" / "weights.csv").exists()


@pytest.mark.parametrize("into", ["temporal", "another run"])
def test_a_fusion_never_takes_the_place_of_a_run(runs, tmp_path, into):
    (tmp_path / "another run").mkdir()
    (tmp_path / "another run" / "run.json").touch()
    before = (runs[1] / SCORES).read_bytes()
    with pytest.raises(UserError, match=r"folder of a run.*name another"):
        fuse(runs, (), "softmax", tmp_path / into)
    assert (runs[1] / SCORES).read_bytes() == before


def test_the_measures_of_a_fusion_are_those_of_its_scores_with_the_shares(runs, tmp_path):
    fuse(runs, (1, 3), "softmax", tmp_path / "fused")
    metrics = metrics_of(tmp_path / "fused")
    with np.load(tmp_path / "fused" / SCORES) as file:
        logits, labels = file["logits"], file["labels"]
    right = logits.argmax(1) == labels
    assert metrics["test"]["videos"] == 30
    assert metrics["test"]["top1"] == pytest.approx(right.mean())
    by_class = [right[labels == k].mean() for k in sorted(set(labels.tolist()))]
    assert metrics["test"]["mean_class"] == pytest.approx(np.mean(by_class))
    assert (metrics["rule"], metrics["held_out"], metrics["parameters"]) == ("softmax", 0, {})
    assert metrics["runs"] == [
        {"run": str(runs[0]), "share": 0.25},
        {"run": str(runs[1]), "share": 0.75},
    ]
    assert "python" in metrics["versions"]


# What it gains


def test_the_gain_is_the_paired_one_over_the_better_run(runs, tmp_path):
    one, two = STREAMS
    worse = replace(two, logits=np.roll(two.logits, 1, axis=1))
    worse.save(runs[1] / SCORES)
    result = fuse(runs, (0.5,), "softmax", tmp_path / "fused")
    assert one.top(1) > worse.top(1)
    assert result.gain.over == "spatial"
    expected = compare([result.fused], [one])
    assert result.gain.top1 == expected
    assert expected.gain.value == pytest.approx(result.fused.top(1) - one.top(1))
    written = metrics_of(tmp_path / "fused")["gain"]
    assert written["top1"]["gain"]["low"] == expected.gain.low
    assert written["top1"]["p"] == expected.p
    assert written["helps"] == (expected.gain.low > 0)


def test_videos_without_a_label_count_neither_in_the_gain_nor_in_the_curve(runs, tmp_path):
    for folder, one in zip(runs, STREAMS, strict=True):
        replace(one, labels=np.where(np.arange(30) < 12, one.labels, -1)).save(folder / SCORES)
    result = fuse(runs, (0.5,), "softmax", tmp_path / "fused")
    right = [(one.logits[:12].argmax(1) == STREAMS[0].labels[:12]).mean() for one in STREAMS]
    assert result.gain.over == ("spatial" if right[0] >= right[1] else "temporal")
    assert [result.curve.test[0], result.curve.test[-1]] == pytest.approx(right)


@pytest.mark.parametrize(
    ("low", "value", "high", "words"),
    [
        (0.01, 0.03, 0.05, "The fusion helps: .* over temporal is above 0"),
        (0.0, 0.03, 0.05, "does not help provably: .* over temporal includes 0"),
        (-0.02, 0.0, 0.02, "does not help provably: .* includes 0"),
        (-0.05, -0.03, 0.01, "does not help: it is below temporal alone"),
        (-0.05, -0.03, -0.01, "The fusion harms: .* over temporal is below 0"),
    ],
)
def test_the_verdict_follows_from_the_interval(low, value, high, words):
    one = Comparison(Interval(value, low, high), 0.5)
    gain = Gain("temporal", one, one)
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(gain.verdict)
    assert gain.to_json()["helps"] == (low > 0)


# The curve


def rows_of(folder):
    with (folder / "weights.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@EVERY
def test_the_curve_has_the_accuracy_of_every_share_on_validation_and_test_apart(
    runs, rule, tmp_path
):
    result = fuse(runs, "fit", rule, tmp_path / "fused")
    rows = rows_of(tmp_path / "fused")
    assert [row["share"] for row in rows] == pytest.approx(np.linspace(0, 1, 21))
    drawn = "softmax" if result.rule.shares is None else rule
    assert result.curve.rule == drawn
    for row in rows[::5]:
        shares = {"spatial": 1 - row["share"], "temporal": row["share"]}
        ready = create_rule(drawn, shares, HELD_OUT)
        assert row["test"] == pytest.approx(ready(STREAMS).top(1), abs=1e-4)
        assert row["validation"] == pytest.approx(ready.rule(HELD_OUT).top(1), abs=1e-4)


def test_without_validation_scores_the_curve_is_that_of_the_test_alone(runs, tmp_path):
    (runs[1] / VALIDATION_SCORES).unlink()
    result = fuse(runs, (0.25,), "softmax", tmp_path / "fused")
    assert set(rows_of(tmp_path / "fused")[0]) == {"share", "test"}
    assert (result.curve.validation, result.curve.taken) == (None, 0.25)
    (at_the_share,) = (row for row in rows_of(tmp_path / "fused") if row["share"] == 0.25)
    assert at_the_share["test"] == pytest.approx(result.fused.top(1), abs=1e-4)


def test_runs_that_held_back_other_videos_are_fused_by_a_rule_that_needs_none(runs, tmp_path):
    expected = fuse(runs, (0.25,), "softmax", tmp_path / "fused").fused
    other = replace(HELD_OUT[1], ids=tuple(f"{i} of another seed" for i in HELD_OUT[1].ids))
    other.save(runs[1] / VALIDATION_SCORES)
    result = fuse(runs, (0.25,), "softmax", tmp_path / "again")
    np.testing.assert_array_equal(result.fused.logits, expected.logits)
    assert result.curve.validation is None
    with pytest.raises(ScoresError, match="score different videos"):
        fuse(runs, "fit", "softmax", tmp_path / "fitted")


# On what it is fitted


def test_held_out_scores_may_be_given_in_place_of_those_of_the_runs(runs, tmp_path):
    for folder in runs:
        (folder / VALIDATION_SCORES).unlink()
    other = told_streams(seed=9, n=50, tells=(0.2, 3.0), part="out of fold")
    fused = fuse(runs, "fit", "softmax", tmp_path / "fused", held_out=other)
    assert fused.rule.held_out == 50
    assert fused.rule.shares == create_rule("softmax", None, other).shares
    assert fused.rule.shares["temporal"] > 0.6


@EVERY
def test_what_needs_held_out_scores_and_finds_none_says_so_and_writes_nothing(runs, rule, tmp_path):
    (runs[0] / VALIDATION_SCORES).unlink()
    with pytest.raises(UserError, match=r"spatial has no validation_scores\.npz.*validation share"):
        fuse(runs, "fit", rule, tmp_path / "fused")
    assert not (tmp_path / "fused").exists()


def test_validation_videos_that_also_test_are_refused(runs, tmp_path):
    for folder, one in zip(runs, STREAMS, strict=True):
        one.save(folder / VALIDATION_SCORES)
    with pytest.raises(ScoresError, match="was fitted on 30 of the videos that are to be fused"):
        fuse(runs, (), "temperature", tmp_path / "fused")
    assert not (tmp_path / "fused").exists()


def test_older_scores_find_their_groups_in_the_split_of_the_run(runs, tmp_path):
    expected = fuse(runs, (0.5,), "softmax", tmp_path / "fused")
    for folder, one in zip(runs, STREAMS, strict=True):
        rows = zip(one.ids, one.labels, one.groups, strict=True)
        lines = ["video,label,group,part", *(f"{i},{k},{group},test" for i, k, group in rows)]
        (folder / SPLIT).write_text("\n".join(lines))
        replace(one, groups=()).save(folder / SCORES)
    found = fuse(runs, (0.5,), "softmax", tmp_path / "again")
    assert found.fused.groups == STREAMS[0].groups
    assert found.gain == expected.gain


# What is refused


def test_folders_of_one_name_are_refused(runs, tmp_path):
    STREAMS[0].save(tmp_path / "other" / "spatial" / SCORES)
    with pytest.raises(UserError, match="of one name: rename one"):
        fuse([runs[0], tmp_path / "other" / "spatial"], [0.5], "softmax", tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_an_unknown_rule_is_refused_with_the_known_ones(runs, tmp_path):
    with pytest.raises(UserError, match=r"'mean'.*logits.*softmax"):
        fuse(runs, [0.5], "mean", tmp_path / "fused")


def test_a_stream_that_was_not_trained_is_refused_by_its_path(runs, tmp_path):
    with pytest.raises(ScoresError, match="audio"):
        fuse([runs[0], tmp_path / "audio"], [0.5], "softmax", tmp_path / "fused")


def test_runs_that_do_not_belong_together_are_refused_and_nothing_is_written(runs, tmp_path):
    replace(STREAMS[1], trained_on=("c/y",)).save(runs[1] / SCORES)
    with pytest.raises(ScoresError, match=r"different splits.*train/0.*c/y"):
        fuse(runs, [0.5], "softmax", tmp_path / "fused")
    assert not (tmp_path / "fused").exists()
