import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from called_commands import SMALL, installed, losses_of, run, sentence, succeed

from flowcache.cache.store import FlowCache
from twostream.scoring.scores import Scores

pytestmark = pytest.mark.usefixtures("lasting_children")


def test_the_four_commands_run_one_after_the_other(finished):
    folder, (extracted, spatial, temporal, fused) = finished
    assert "8 videos done" in extracted
    assert len(FlowCache.open(folder / "cache").ids()) == 8
    for text, name in ((spatial, "spatial"), (temporal, "temporal")):
        assert "epoch 2/2" in text
        assert f"runs/{name}" in text
        assert (folder / "runs" / name / "best.ckpt").is_file()
    assert "softmax" in fused
    assert "temporal 0.5" in fused
    for word in ("spatial", "temporal", "fused", "top-1", "mean class"):
        assert word in fused


def test_the_fused_scores_are_the_mean_of_both_streams(finished):
    folder, _ = finished
    spatial, temporal, fused = (
        Scores.load(folder / "runs" / name / "scores.npz")
        for name in ("spatial", "temporal", "fused")
    )
    row = [temporal.ids.index(i) for i in spatial.ids]
    expected = (spatial.softmax() + temporal.softmax()[row]) / 2
    np.testing.assert_allclose(fused.softmax(), expected, atol=1e-6)
    assert cv2.imread(str(folder / "runs" / "fused" / "confusion.png")) is not None
    with (folder / "runs" / "fused" / "confusion.csv").open(newline="") as file:
        counts = [row[1:] for row in csv.reader(file)][1:]
    assert sum(int(n) for own in counts for n in own) == len(fused)


def test_a_second_extraction_keeps_what_is_done(copy):
    assert "8 kept from before" in succeed("extract-flow videos/")


def test_a_broken_video_is_named_and_the_status_is_1(copy):
    (copy / "videos" / "still" / "broken.avi").write_bytes(b"no video")
    result = run("extract-flow videos/")
    assert result.exit_code == 1
    assert "still/broken.avi" in result.output
    assert "broken.avi" in (copy / "cache" / "failures.csv").read_text()
    assert "Traceback" not in result.output


# A run and its folder


def test_a_run_goes_on_only_with_the_options_it_had(copy):
    output = succeed("train --stream temporal --resume")
    assert "runs/temporal" in output
    result = run("train --stream temporal --resume --epochs 5")
    assert result.exit_code != 0
    assert "--epochs" in result.output
    assert "of the temporal stream" in sentence(
        "train --stream spatial --run runs/temporal --resume"
    )
    assert "resumed or overwritten" in sentence("train --stream temporal --resume --overwrite")


def test_a_run_is_replaced_only_on_demand(copy):
    result = run(f"train --stream temporal {SMALL}")
    assert result.exit_code != 0
    assert "--overwrite" in result.output
    succeed(f"train --stream temporal {SMALL} --seed 1 --overwrite")
    assert json.loads((copy / "runs" / "temporal" / "run.json").read_text())["options"]["seed"] == 1


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_a_run_in_half_precision_is_evaluated_like_any_other(precision, copy):
    folder = copy / "runs" / "temporal"
    before, losses = Scores.load(folder / "scores.npz"), losses_of(folder)
    succeed(f"train --stream temporal {SMALL} --precision {precision} --overwrite")
    for one, other in zip(losses_of(folder), losses, strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=0.05)
    half = Scores.load(folder / "scores.npz")
    assert not np.array_equal(half.logits, before.logits)
    succeed("evaluate --run runs/temporal --clips 2 --jobs 0")
    again = Scores.load(folder / "scores.npz")
    np.testing.assert_allclose(again.logits, half.logits, rtol=1e-4, atol=1e-5)


def test_a_run_without_a_name_is_named_by_its_stream_and_a_name_goes_before(work, tmp_path):
    succeed(f"train --stream spatial {SMALL} --epochs 1 --run {tmp_path / 'a' / 'mine'}")
    assert (tmp_path / "a" / "mine" / "best.ckpt").is_file()
    assert not (tmp_path / "spatial").exists()
    assert (work / "runs" / "spatial" / "best.ckpt").is_file()


# As it is installed


@pytest.mark.slow
def test_two_processes_train_together_and_write_one_set_of_files(finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder / "cache", tmp_path / "cache")
    two = "--devices 2 --strategy ddp"
    result = installed(f"train --stream temporal {SMALL} {two}", tmp_path)
    assert result.returncode == 0, result.stderr
    run_folder, alone_folder = tmp_path / "runs" / "temporal", folder / "runs" / "temporal"
    assert {p.name for p in run_folder.iterdir()} == {p.name for p in alone_folder.iterdir()}
    with (run_folder / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    alone, together = (Scores.load(f / "scores.npz") for f in (alone_folder, run_folder))
    assert together.ids == alone.ids
    assert together.trained_on == alone.trained_on
    # Each line is said once, and not by each process.
    lines = [
        line for line in result.stdout.splitlines() if "epoch 1/2" in line or "videos train" in line
    ]
    assert len(lines) == len(set(lines)) == 2
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_four_commands_run_as_they_stand_but_for_their_many_steps(few_videos):
    for words in (
        "extract-flow videos/",
        "train --stream spatial --steps 8",
        "train --stream temporal --steps 8",
        "fuse --weights 0.5",
    ):
        result = installed(words, few_videos)
        assert result.returncode == 0, (words, result.stdout, result.stderr)
        assert result.stderr == "", words
    assert (few_videos / "runs" / "fused" / "confusion.png").is_file()
