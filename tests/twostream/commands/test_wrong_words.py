import errno
import os
import shutil
from pathlib import Path

import pytest
from called_commands import SMALL, installed, run, sentence

from twostream import stages

pytestmark = pytest.mark.usefixtures("lasting_children")

VIDEO = "videos/still/v_still_g01_c01.avi"
EXTRACT = "extract-flow videos --cache c2"
TRAIN = "train --stream spatial --run r2"
TINY = f"{TRAIN} --model tiny"


@pytest.mark.parametrize(
    "words",
    [
        # What click looks at: one of each.
        "nonsense",
        "train",
        "train --stream audio",
        f"{EXTRACT} --bound x",
        "show nowhere -o a.png",
        f"show {VIDEO}",
        "evaluate --run runs/spatial --clips 0",
        # The cache
        "extract-flow nowhere",
        "extract-flow cache --cache c2",
        "extract-flow videos --bound 10",
        f"{EXTRACT} --algorithm raft9",
        f"{EXTRACT} --option nonsense=1",
        f"{EXTRACT} --option alpha",
        f"{EXTRACT} --option tau=x",
        f"{EXTRACT} --size 0",
        f"{EXTRACT} --size 12y",
        f"{EXTRACT} --bound 0",
        f"{EXTRACT} --bound nan",
        f"{EXTRACT} --quantizer-step 0",
        f"{EXTRACT} --quantizer-step 1e-9",
        f"{EXTRACT} --jpeg-quality 0",
        f"{EXTRACT} --step 0",
        f"{EXTRACT} --jobs 0",
        f"{EXTRACT} --backend nonsense",
        f"{EXTRACT} --joblib-backend nonsense",
        f"{EXTRACT} --scheduler nonsense",
        "cache info --cache nowhere",
        "show videos/still/v_still_g01_c01.avi -o a.xyz",
        f"show {VIDEO} -o a.png --frame 999",
        "show cache/cache.json -o a.png",
        # A run
        "train --stream spatial",
        f"{TRAIN} --cache nowhere",
        f"{TRAIN} --model vgg",
        f"{TRAIN} --option depth=19",
        f"{TRAIN} --option nonsense=1",
        f"{TRAIN} --option channels=3",
        f"{TRAIN} --option dropout=2",
        f"{TINY} --option width=-1",
        f"{TINY} --init nowhere.pt",
        f"{TINY} --init published",
        f"{TINY} --init cache/cache.json",
        f"{TINY} --epochs 0",
        f"{TINY} --learning-rate 0",
        f"{TINY} --label-smoothing nan",
        f"{TINY} --validation-share 1",
        f"{TINY} --scales x",
        f"{TINY} --scales 1,2",
        f"{TINY} --train-list cache/cache.json",
        f"{TINY} --class-list cache/cache.json",
        f"{TINY} --groups cache/cache.json",
        f"{TINY} --hmdb51 nowhere",
        f"{TINY} --hmdb51 cache --test-list cache/cache.json",
        f"{TINY} --split-number 2",
        f"{TINY} --skip-missing",
        f"{TINY} --precision 17",
        f"{TINY} --accelerator abacus",
        f"{TINY} --accelerator cpu --devices 0",
        f"{TINY} --devices some",
        f"{TINY} --strategy nonsense",
        f"{TRAIN} --resume",
        "train --stream spatial --resume --crop 3",
        f"{TRAIN} --config cache/cache.json",
        f"{TRAIN} --config {VIDEO}",
        "train --stream spatial --model cnn_m_2048 --crop 32 --run r2",
        "pretrain --stream spatial --run r2 --model tiny",
        "pretrain --stream spatial --run runs/spatial --resume",
        # Scores
        "evaluate --run nowhere",
        "fuse --weights x",
        "fuse --weights 2",
        "fuse --weights -0.1",
        "fuse --weights nan",
        "fuse --weights 0,0",
        "fuse --weights 1,2,3",
        "fuse runs/spatial",
        "fuse runs/spatial nowhere",
        "fuse runs/spatial videos/../runs/spatial",
        f"predict {VIDEO} --run nowhere",
        f"predict {VIDEO} --weights 7",
        f"predict {VIDEO} --run runs/spatial --run runs/temporal --run runs/fused --weights 1,1,1",
        "models nonsense",
        "models tiny --option nonsense=1",
        "demo videos",
    ],
)
def test_wrong_words_get_one_sentence_and_no_traceback(words, work):
    before = sorted(work.rglob("*"))
    try:
        assert sentence(words)
    finally:
        for name in ("c2", "r2"):
            shutil.rmtree(work / name, ignore_errors=True)
    assert sorted(work.rglob("*")) == before


def test_lists_that_are_no_text_get_one_sentence(work, tmp_path):
    file = tmp_path / "list.csv"
    file.write_bytes("still/é.avi\n".encode("latin-1"))
    for option in ("train-list", "test-list", "class-list", "groups"):
        sentence(f"train --stream spatial --model tiny --run {tmp_path / 'r'} --{option} {file}")


def test_a_clip_that_a_model_does_not_admit_is_named_with_what_it_needs(work, tmp_path):
    said = sentence(f"train --stream temporal --model cnn_m_2048 --crop 32 --run {tmp_path / 'r'}")
    assert "41×41" in said
    assert "--crop" in said


def test_streams_of_different_splits_are_not_fused(copy):
    run(f"train --stream temporal {SMALL} --seed 1 --overwrite")
    said = sentence("fuse --weights 0.5")
    assert "different" in said
    assert "v_" in said


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("extract-flow videos --bound 10", "--cache"),
        (f"{EXTRACT} --algorithm raft9", "--algorithm"),
        (f"{EXTRACT} --option alpha", "--option"),
        (f"{EXTRACT} --quantizer-step 1e-9", "--quantizer-step"),
        (f"{EXTRACT} --size 0", "--size"),
        (f"{EXTRACT} --step 0", "--step"),
        (f"{EXTRACT} --device cuda:99", "--device"),
        (f"{TRAIN} --cache nowhere", "--cache"),
        (f"{TRAIN} --model vgg", "--model"),
        (f"{TINY} --epochs 0", "--epochs"),
        (f"{TINY} --test-share 0", "--test-share"),
        (f"{TINY} --accumulate 0", "--accumulate"),
        (f"{TINY} --stride 0", "--stride"),
        (f"{TINY} --init published", "--init"),
        (f"{TINY} --devices some", "--devices"),
        (f"{TRAIN} --resume", "--resume"),
        ("train --stream spatial", "--overwrite"),
        ("fuse --weights 2", "--weights"),
    ],
)
def test_an_error_of_the_library_gets_the_option_that_sets_its_parameter(work, words, option):
    try:
        assert sentence(words).endswith(f"({option})")
    finally:
        for name in ("c2", "r2"):
            shutil.rmtree(work / name, ignore_errors=True)


def test_the_installed_command_says_its_sentence_on_stderr(tmp_path):
    result = installed("cache info --cache nowhere", tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: nowhere is no flow cache")
    assert result.stderr.count("\n") == 1


def test_where_an_error_arose_is_shown_on_demand_alone(tmp_path):
    quiet = installed("cache info --cache nowhere", tmp_path)
    loud = installed("-v cache info --cache nowhere", tmp_path)
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
    assert "nowhere is no flow cache" in loud.stderr
    assert loud.returncode == 1


@pytest.mark.parametrize("words", ["fuse --weights 0,0", "fuse --weights 1,-1"])
def test_nothing_is_written_by_a_fusion_that_is_refused(words, work, tmp_path):
    sentence(f"{words} --run {tmp_path / 'f'}")
    assert not Path(tmp_path / "f").exists()


@pytest.mark.parametrize(("epochs", "words"), [(0, "give the same command again"), (2, "--resume")])
def test_an_interrupted_training_says_how_to_go_on(epochs, words, work, tmp_path, monkeypatch):
    def interrupted(*_, listener, **__):
        for epoch in range(epochs):
            listener.on_epoch({"epoch": epoch + 1}, 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "train", interrupted)
    result = run(f"{TINY} --run {tmp_path / 'r'}")
    assert result.exit_code == 130
    assert words in result.output
    assert "Traceback" not in result.output
    if epochs:
        assert "after epoch 2" in result.output
        again = f"train --stream spatial --cache cache --run {tmp_path / 'r'} --resume"
        assert f"`twostream {again}` goes on" in result.output


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_what_the_system_refuses_is_one_sentence(number, work, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number), str(tmp_path / "r"))

    monkeypatch.setattr(stages, "train", refused)
    told = sentence(f"{TINY} --run {tmp_path / 'r'}")
    assert os.strerror(number).lower() in told
    assert str(tmp_path / "r") in told


def test_a_seed_that_no_generator_takes_is_refused(work):
    assert "--seed" in sentence(f"{TINY} --seed 1099511627776")
