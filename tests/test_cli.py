import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_videos import MJPEG_AVI, moving_scene, write_video

from cli import main, parse_weights
from flowcache.cache.store import FlowCache
from twostream.scoring.scores import Scores

SMALL = "--model tiny --crop 32 --epochs 2 --workers 0 --clips 2 --accelerator cpu"
COMMANDS = {
    "": main,
    **main.commands,
    **{f"cache {name}": command for name, command in main.commands["cache"].commands.items()},
}


def run(words):
    return CliRunner().invoke(main, words.split() if isinstance(words, str) else words)


def succeed(words):
    result = run(words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.output


def make_videos(folder, count=4):
    """Two classes that differ in brightness and in motion."""
    for name, speed, light in (("still", 0.0, 0.5), ("moving", 3.0, 1.0)):
        for n in range(count):
            frames = moving_scene(9, 48, 64, speed, 0.0, seed=n) * light
            path = folder / name / f"v_{name}_g{n + 1:02}_c01.avi"
            write_video(path, frames.astype(np.uint8), MJPEG_AVI)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which the four commands have run; and what each of them printed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work")
    make_videos(folder / "videos")
    before = Path.cwd()
    os.chdir(folder)
    try:
        printed = [
            succeed("extract-flow videos/"),
            succeed(f"train --stream spatial {SMALL}"),
            succeed(f"train --stream temporal {SMALL}"),
            succeed("fuse --weights 0.5"),
        ]
    finally:
        os.chdir(before)
    return folder, printed


@pytest.fixture
def work(finished, monkeypatch):
    """That folder as the current one; what is in it must stay."""
    monkeypatch.chdir(finished[0])
    return finished[0]


@pytest.fixture
def copy(finished, tmp_path, monkeypatch):
    """A copy of that folder as the current one."""
    shutil.copytree(finished[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def losses_of(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file)]


# The four commands


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
    for word in ("spatial", "temporal", "fused", "top-1", "top-5", "mean class"):
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


def test_weights_by_name_and_the_sum_of_logits(copy):
    output = succeed("fuse --weights spatial=1 temporal=1.5 --on logits")
    assert "logits" in output
    assert "spatial 0.4, temporal 0.6" in output
    spatial, temporal, fused = (
        Scores.load(copy / "runs" / name / "scores.npz")
        for name in ("spatial", "temporal", "fused")
    )
    row = [temporal.ids.index(i) for i in spatial.ids]
    expected = 0.4 * spatial.logits + 0.6 * temporal.logits[row]
    np.testing.assert_allclose(fused.logits, expected, atol=1e-5)


def test_a_second_extraction_keeps_what_is_done(copy):
    assert "8 kept from before" in succeed("extract-flow videos/")


def test_a_broken_video_is_named_and_the_status_is_1(copy):
    (copy / "videos" / "still" / "broken.avi").write_bytes(b"no video")
    result = run("extract-flow videos/")
    assert result.exit_code == 1
    assert "still/broken.avi" in result.output
    assert "broken.avi" in (copy / "cache" / "failures.csv").read_text()
    assert "Traceback" not in result.output


def test_the_cache_is_shown_and_verified_and_damage_is_named(copy):
    assert "still" in succeed("cache info")
    assert "all 8 entries are whole" in succeed("cache verify --jobs 1")
    entry = sorted((copy / "cache").rglob("*.h5"))[3]
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)
    result = run("cache verify --jobs 1")
    assert result.exit_code == 1
    assert entry.stem in result.output
    assert "1 of 8" in result.output


def test_a_video_and_an_entry_are_shown_as_pictures(copy):
    entry = sorted((copy / "cache").rglob("*.h5"))[0]
    video = sorted((copy / "videos").rglob("*.avi"))[0]
    for source, name in ((entry, "a.png"), (video, "b.png")):
        succeed(["show", str(source), "-o", name])
        assert cv2.imread(name) is not None


def test_an_evaluation_with_the_same_clips_repeats_the_scores(copy):
    before = Scores.load(copy / "runs" / "temporal" / "scores.npz")
    output = succeed("evaluate --stream temporal --clips 2 --workers 0")
    after = Scores.load(copy / "runs" / "temporal" / "scores.npz")
    np.testing.assert_allclose(after.logits, before.logits, rtol=1e-4, atol=1e-5)
    assert "temporal" in output


def test_a_prediction_is_a_table_or_json(work):
    videos = [str(p) for p in sorted((work / "videos" / "moving").iterdir())[:2]]
    assert "fused" in succeed(["predict", *videos, "--clips", "2"])
    read = json.loads(succeed(["predict", *videos, "--clips", "2", "--json"]))
    assert [one["video"] for one in read] == videos
    for one in read:
        for name in ("spatial", "temporal", "fused"):
            assert {best["class"] for best in one[name]} == {"still", "moving"}
            assert sum(best["probability"] for best in one[name]) == pytest.approx(1, abs=1e-5)


def test_a_broken_video_does_not_stop_the_other_predictions(work, tmp_path):
    good = str(next((work / "videos" / "moving").iterdir()))
    (tmp_path / "bad [1].mp4").write_bytes(b"no video")
    result = run(["predict", str(tmp_path / "bad [1].mp4"), good, "--clips", "2"])
    assert result.exit_code == 1
    assert "bad [1].mp4" in result.output
    assert "fused" in result.output
    assert "Traceback" not in result.output
    result = run(["predict", str(tmp_path / "bad [1].mp4"), good, "--clips", "2", "--json"])
    assert result.exit_code == 1
    good_one, bad_one = json.loads(result.stdout)
    assert good_one["video"] == good
    assert "bad [1].mp4" in bad_one["error"]


def test_a_run_goes_on_only_with_the_options_it_had(copy):
    output = succeed("train --stream temporal --resume")
    assert "runs/temporal" in output
    result = run("train --stream temporal --resume --epochs 5")
    assert result.exit_code != 0
    assert "--epochs" in result.output


def test_a_run_is_replaced_only_on_demand(copy):
    result = run(f"train --stream temporal {SMALL}")
    assert result.exit_code != 0
    assert "--overwrite" in result.output
    succeed(f"train --stream temporal {SMALL} --seed 1 --overwrite")
    assert json.loads((copy / "runs" / "temporal" / "run.json").read_text())["options"]["seed"] == 1


def test_streams_of_different_splits_are_not_fused(copy):
    succeed(f"train --stream temporal {SMALL} --seed 1 --overwrite")
    result = run("fuse --weights 0.5")
    assert result.exit_code != 0
    assert "different" in result.output
    assert "v_" in result.output


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_a_run_in_half_precision_is_evaluated_like_any_other(precision, copy):
    folder = copy / "runs" / "temporal"
    before, losses = Scores.load(folder / "scores.npz"), losses_of(folder)
    succeed(f"train --stream temporal {SMALL} --precision {precision} --overwrite")
    assert losses_of(folder) == pytest.approx(losses, rel=0.05)
    half = Scores.load(folder / "scores.npz")
    assert not np.array_equal(half.logits, before.logits)
    succeed("evaluate --stream temporal --clips 2 --workers 0")
    again = Scores.load(folder / "scores.npz")
    np.testing.assert_allclose(again.logits, half.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "length", "size"),
    [
        ("--stream spatial --model tiny", 1, 64),
        ("--stream temporal --model tiny", 10, 64),
        ("--stream spatial --model c3d", 16, 112),
        ("--stream temporal --model c3d --length 8 --crop 64", 8, 64),
        ("--stream spatial --model resnet", 1, 224),
    ],
)
def test_clips_are_the_models_where_nothing_else_is_said(words, length, size, work, tmp_path):
    # The list names no video of the cache, so nothing is trained: what is recorded stands before.
    (tmp_path / "list.txt").write_text("still/nowhere.avi\n")
    result = run(f"train {words} --runs {tmp_path} --test-list {tmp_path / 'list.txt'}")
    assert_one_sentence(result, words)
    record = json.loads((tmp_path / words.split()[1] / "run.json").read_text())["options"]["clip"]
    assert (record["length"], record["size"]) == (length, size)


def test_a_clip_that_a_model_does_not_admit_gets_one_sentence(work, tmp_path):
    words = f"train --stream temporal --model cnn_m_2048 --crop 32 --runs {tmp_path}"
    result = run(words)
    assert_one_sentence(result, words)
    assert "41×41" in result.output
    assert "--crop" in result.output


# Words that are wrong


def assert_one_sentence(result, words):
    assert result.exit_code not in (0, None), (words, result.output)
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        words,
        repr(result.exception),
    )
    assert "Traceback" not in result.output
    lines = result.output.rstrip().splitlines()
    (first,) = (n for n, line in enumerate(lines) if line.startswith("Error: "))
    # After the sentence come at most the choices that click lists.
    assert all(line.startswith("\t") for line in lines[first + 1 :]), (words, result.output)


@pytest.mark.parametrize(
    "words",
    [
        "nonsense",
        "extract-flow",
        "extract-flow nowhere",
        "extract-flow cache --cache c2",
        "extract-flow videos --bound 10",
        "extract-flow videos --cache c2 --algorithm raft9",
        "extract-flow videos --cache c2 --option nonsense=1",
        "extract-flow videos --cache c2 --option alpha",
        "extract-flow videos --cache c2 --option alpha=x",
        "extract-flow videos --cache c2 --size 0",
        "extract-flow videos --cache c2 --size 12y",
        "extract-flow videos --cache c2 --bound 0",
        "extract-flow videos --cache c2 --bound nan",
        "extract-flow videos --cache c2 --bound x",
        "extract-flow videos --cache c2 --quantizer-step 0",
        "extract-flow videos --cache c2 --quantizer-step 1e-9",
        "extract-flow videos --cache c2 --jpeg-quality 0",
        "extract-flow videos --cache c2 --step 0",
        "extract-flow videos --cache c2 --jobs 0",
        "extract-flow videos --cache c2 --backend nonsense",
        "extract-flow videos --cache c2 --joblib-backend nonsense",
        "extract-flow videos --cache c2 --scheduler nonsense",
        "cache info nowhere",
        "cache verify nowhere",
        "cache verify --jobs 0",
        "show nowhere -o a.png",
        "show videos/still/v_still_g01_c01.avi",
        "show videos/still/v_still_g01_c01.avi -o a.xyz",
        "show videos/still/v_still_g01_c01.avi -o a.png --frame 999",
        "show cache/cache.json -o a.png",
        "train",
        "train --stream audio",
        "train --stream spatial",
        "train --stream spatial --runs r2 --cache nowhere",
        "train --stream spatial --runs r2 --model vgg",
        "train --stream spatial --runs r2 --option depth=19",
        "train --stream spatial --runs r2 --option nonsense=1",
        "train --stream spatial --runs r2 --option channels=3",
        "train --stream spatial --runs r2 --option dropout=2",
        "train --stream spatial --runs r2 --model tiny --option width=-1",
        "train --stream spatial --runs r2 --weights nowhere.pt",
        "train --stream spatial --runs r2 --model tiny --weights published",
        "train --stream spatial --runs r2 --model tiny --weights cache/cache.json",
        "train --stream spatial --runs r2 --epochs 0",
        "train --stream spatial --runs r2 --batch-size 0",
        "train --stream spatial --runs r2 --scales x",
        "train --stream spatial --runs r2 --scales 2",
        "train --stream spatial --runs r2 --optimizer adam",
        "train --stream spatial --runs r2 --train-list nowhere.txt",
        "train --stream spatial --runs r2 --train-list cache/cache.json",
        "train --stream spatial --runs r2 --class-list cache/cache.json",
        "train --stream spatial --runs r2 --groups cache/cache.json",
        "train --stream spatial --runs r2 --hmdb51 nowhere",
        "train --stream spatial --runs r2 --resume",
        "train --stream spatial --resume --crop 3",
        "train --stream spatial --runs r2 --model tiny --learning-rate -1",
        "train --stream spatial --runs r2 --model tiny --weight-decay -1",
        "train --stream spatial --runs r2 --model tiny --label-smoothing 2",
        "train --stream spatial --runs r2 --model tiny --test-share 0",
        "train --stream spatial --runs r2 --model tiny --test-share 1.5",
        "train --stream spatial --runs r2 --model tiny --validation-share -0.5",
        "train --stream spatial --runs r2 --model tiny --validation-share 1",
        "train --stream spatial --runs r2 --model tiny --seed -1",
        "train --stream spatial --runs r2 --model tiny --precision 17",
        "train --stream spatial --runs r2 --model tiny --accelerator abacus",
        "train --stream spatial --runs r2 --model tiny --accelerator cpu --devices 0",
        "train --stream spatial --runs r2 --model tiny --devices some",
        "train --stream spatial --runs r2 --model tiny --strategy nonsense",
        "pretrain",
        "pretrain --stream spatial --runs r2 --model vgg",
        "pretrain --stream spatial --runs r2 --model tiny",
        "pretrain --stream spatial --runs r2 --weights published",
        "pretrain --stream spatial --runs r2 --cache nowhere",
        "pretrain --stream spatial --runs r2 --option nonsense=1",
        "pretrain --stream spatial --runs r2 --resume",
        "evaluate",
        "evaluate --stream spatial --runs nowhere",
        "evaluate --stream spatial --cache nowhere",
        "evaluate --stream spatial --clips 0",
        "evaluate --stream spatial --crops 3",
        "fuse --weights",
        "fuse --weights x",
        "fuse --weights 2",
        "fuse --weights -0.1",
        "fuse --weights nan",
        "fuse --weights 0.5 0.5",
        "fuse --weights spatial=1",
        "fuse --weights spatial=x temporal=1",
        "fuse --weights spatial=nan temporal=1",
        "fuse --weights spatial=-1 temporal=2",
        "fuse --weights spatial=0 temporal=0",
        "fuse --weights spatial=1 audio=1",
        "fuse --weights spatial=1 spatial=2 temporal=1",
        "fuse --weights 0.5 --on votes",
        "fuse --weights 0.5 --runs nowhere",
        "predict",
        "predict videos/still/v_still_g01_c01.avi --runs nowhere",
        "predict videos/still/v_still_g01_c01.avi --weights 7",
        "predict videos/still/v_still_g01_c01.avi --weights spatial=0 --weights temporal=0",
        "predict videos/still/v_still_g01_c01.avi --weights spatial=-1 --weights temporal=1",
    ],
)
def test_wrong_words_get_one_sentence_and_no_traceback(words, work):
    before = sorted(work.rglob("*"))
    try:
        assert_one_sentence(run(words), words)
    finally:
        for name in ("c2", "r2"):
            shutil.rmtree(work / name, ignore_errors=True)
    assert sorted(work.rglob("*")) == before


def test_lists_that_are_no_text_get_one_sentence(work, tmp_path):
    file = tmp_path / "list.csv"
    file.write_bytes("still/é.avi\n".encode("latin-1"))
    for option in ("train-list", "test-list", "class-list", "groups"):
        words = f"train --stream spatial --model tiny --runs {tmp_path / 'r'} --{option} {file}"
        assert_one_sentence(run(words), words)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("extract-flow videos --bound 10", "--cache"),
        ("extract-flow videos --cache c2 --algorithm raft9", "--algorithm"),
        ("extract-flow videos --cache c2 --option alpha", "--option"),
        ("extract-flow videos --cache c2 --quantizer-step 1e-9", "--quantizer-step"),
        ("extract-flow videos --cache c2 --size 0", "--size"),
        ("extract-flow videos --cache c2 --step 0", "--step"),
        ("extract-flow videos --cache c2 --device cuda:99", "--device"),
        ("train --stream spatial --runs r2 --cache nowhere", "--cache"),
    ],
)
def test_an_error_of_the_library_gets_the_option_that_sets_its_parameter(work, words, option):
    assert run(words).output.rstrip().endswith(f"({option})")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_every_option_has_its_help(name):
    text = succeed([*name.split(), "--help"])
    assert len(text.splitlines()) > 3
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[-1] in text
    assert succeed([*name.split(), "-h"]) == text


def test_the_version_is_that_of_the_package():
    assert "0." in succeed("--version")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["0.5"], {"spatial": 0.5, "temporal": 0.5}),
        (["0.75"], {"spatial": 0.25, "temporal": 0.75}),
        (["0"], {"spatial": 1.0, "temporal": 0.0}),
        (["1"], {"spatial": 0.0, "temporal": 1.0}),
        (["spatial=1", "temporal=1.5"], {"spatial": 1.0, "temporal": 1.5}),
        (["a=1", "b=2", "c=3"], {"a": 1.0, "b": 2.0, "c": 3.0}),
    ],
)
def test_weights_are_the_temporal_share_or_go_by_name(words, expected):
    assert parse_weights(words) == expected


# The installed command


def command():
    """The command as it is installed beside this Python."""
    found = shutil.which("twostream", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("the command twostream is not installed beside this Python")
    return found


def call(words, folder):
    return subprocess.run(
        [command(), *words.split()], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_installed_command_says_its_sentence_on_stderr(tmp_path):
    result = call("cache info nowhere", tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: nowhere is no flow cache")
    assert result.stderr.count("\n") == 1


def test_help_does_not_wait_for_the_heavy_libraries():
    script = (
        "import sys\nfrom click.testing import CliRunner\nimport cli\n"
        "CliRunner().invoke(cli.main, ['train', '--help'])\n"
        "print(sorted({'torch', 'lightning', 'cv2', 'h5py', 'av'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
def test_two_processes_train_together_and_write_one_set_of_files(finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder / "cache", tmp_path / "cache")
    two = "--devices 2 --strategy ddp"
    result = call(f"train --stream temporal {SMALL} {two}", tmp_path)
    assert result.returncode == 0, result.stderr
    run_folder = tmp_path / "runs" / "temporal"
    assert sorted(path.name for path in run_folder.iterdir()) == [
        "best.ckpt",
        "last.ckpt",
        "metrics.csv",
        "predictions.csv",
        "run.json",
        "scores.npz",
        "split.csv",
    ]
    with (run_folder / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    alone = Scores.load(folder / "runs" / "temporal" / "scores.npz")
    together = Scores.load(run_folder / "scores.npz")
    assert together.ids == alone.ids
    assert together.trained_on == alone.trained_on
    # Each line is said once, and not by each process.
    lines = [line for line in result.stdout.splitlines() if "epoch 1/2" in line or "choose" in line]
    assert len(lines) == len(set(lines)) == 2
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_four_commands_run_as_they_stand(tmp_path):
    make_videos(tmp_path / "videos", count=3)
    for words in (
        "extract-flow videos/",
        "train --stream spatial",
        "train --stream temporal",
        "fuse --weights 0.5",
    ):
        result = call(words, tmp_path)
        assert result.returncode == 0, (words, result.stdout, result.stderr)
        assert result.stderr == "", words
    assert (tmp_path / "runs" / "fused" / "confusion.png").is_file()
