from dataclasses import replace

import numpy as np
import pytest
from made_scores import in_another_order, scores, told_streams

from flowcache.errors import UserError
from twostream.html_report.content import read_content
from twostream.scoring.scores import Scores, ScoresError


def test_the_videos_that_make_the_gain_are_named(runs):
    content = read_content(runs, [0.5])
    rescued, lost = content.chosen
    spatial, temporal = (Scores.load(folder / "scores.npz") for folder in runs)
    best = max((spatial, temporal), key=lambda one: one.top(1))
    assert content.fusion.gain.over == best.name
    fused = content.fusion.fused
    # By the definition, video by video.
    right = {
        name: {i for i, ok in zip(one.ids, one.right(), strict=True) if ok}
        for name, one in (("best", best), ("fused", fused))
    }
    assert {video.id for video in rescued.videos} == right["fused"] - right["best"]
    assert {video.id for video in lost.videos} == right["best"] - right["fused"]
    assert rescued.videos
    assert lost.videos
    gained = len(rescued.videos) - len(lost.videos)
    assert content.fusion.gain.top1.gain.value == pytest.approx(gained / len(fused))


def test_what_each_says_of_a_video(runs):
    content = read_content(runs)
    row_of = {identifier: row for row, identifier in enumerate(content.runs[0].ids)}
    for video in (*content.chosen[0].videos, *content.chosen[1].videos):
        row = row_of[video.id]
        assert video.label == content.runs[0].classes[content.runs[0].labels[row]]
        assert [answer.by for answer in video.answers] == ["spatial", "temporal", "fused"]
        for answer, one in zip(video.answers, content.all, strict=True):
            powers = np.exp(one.logits[row].astype(float))
            k = one.classes.index(answer.label)
            assert answer.probability == pytest.approx(powers[k] / powers.sum(), abs=1e-6)
            assert answer.probability == pytest.approx(max(powers) / powers.sum(), abs=1e-6)


def test_a_rule_without_probabilities_gives_none(write_runs):
    runs = write_runs(
        told_streams(seed=1, n=40, tells=(1, 1)), told_streams(seed=2, n=40, part="held out")
    )
    content = read_content(runs, rule="svm")
    videos = [video for group in content.chosen for video in group.videos]
    assert videos
    for video in videos:
        assert [answer.probability is None for answer in video.answers] == [False, False, True]
        assert "fused: class" in video.sentence
        assert not video.sentence.endswith("%")


def test_a_single_run_is_told_of_alone(runs):
    content = read_content(runs[:1])
    assert content.fusion is None
    assert [one.name for one in content.all] == ["spatial"]
    (wrong,) = content.chosen
    one = Scores.load(runs[0] / "scores.npz")
    expected = {i for i, ok in zip(one.ids, one.right(), strict=True) if not ok}
    assert {video.id for video in wrong.videos} == expected


def test_epochs_are_read_where_a_run_has_them(runs):
    first, second = read_content(runs).records
    assert first.epochs == {
        "epoch": [1, 2],
        "train_loss": [1.5, 0.75],
        "val_loss": [1.25, 1.125],
        "train_top1": [0.25, 0.5],
    }
    assert not second.epochs


def test_videos_without_a_label_are_left_out(write_runs):
    streams = told_streams(n=20, k=2)
    streams = [replace(one, labels=np.where(np.arange(20) < 5, -1, one.labels)) for one in streams]
    content = read_content(write_runs(streams))
    assert [len(one) for one in content.all] == [15, 15, 15]


@pytest.mark.parametrize("text", ["", "epoch\n1\n", "epoch,seconds\n1,9\n", "train_loss\n1\n"])
def test_epochs_without_measures_have_no_curves(text, write_runs):
    runs = write_runs(told_streams(n=20))
    (runs[0] / "metrics.csv").write_text(text)
    assert [record.epochs for record in read_content(runs).records] == [{}, {}]


@pytest.mark.parametrize("text", ["epoch,train_loss\n1,x\n", "epoch\n1,2\n\0", "\udcff"])
def test_epochs_that_cannot_be_read_are_refused(text, write_runs):
    runs = write_runs(told_streams(n=20))
    (runs[0] / "metrics.csv").write_text(text, errors="surrogateescape")
    with pytest.raises(UserError, match=r"metrics\.csv cannot be read"):
        read_content(runs)


def test_what_does_not_belong_together_is_refused(runs, write_runs):
    with pytest.raises(UserError, match="no run"):
        read_content([])
    with pytest.raises(ScoresError, match="does not exist"):
        read_content([runs[0], runs[0].parent / "absent"])
    spatial, temporal = told_streams(n=20)
    fewer = scores("fewer", n=10, k=5)
    with pytest.raises(ScoresError, match="score different videos"):
        read_content(write_runs([spatial, replace(fewer, classes=spatial.classes)]))
    others = replace(temporal, classes=tuple("abcde"))
    with pytest.raises(ScoresError, match="different classes"):
        read_content(write_runs([spatial, others]))
    unlabelled = replace(spatial, labels=np.full(20, -1))
    with pytest.raises(ScoresError, match="no video has a label"):
        read_content(write_runs([unlabelled]))
    assert read_content(write_runs([spatial, in_another_order(temporal)])).fusion
