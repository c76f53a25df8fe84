import csv
import json

import pytest
import torch
from click.testing import CliRunner
from made_videos import MJPEG_AVI, moving_scene, write_video

from cli import main

SMALL = (
    "--stream temporal --model videomae --option patch=8 --option width=12 --option depth=1 "
    "--option heads=2 --length 4 --crop 16 --epochs 2 --workers 0 --accelerator cpu"
)
BEST = "runs/pretrained/temporal/best.ckpt"


def run(words):
    return CliRunner().invoke(main, words.split())


def succeed(words):
    result = run(words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.output


def sentence(words):
    """The one sentence with which a command refuses."""
    result = run(words)
    assert result.exit_code == 1, (words, result.output)
    assert isinstance(result.exception, SystemExit), (words, repr(result.exception))
    *_, last = result.output.rstrip().splitlines()
    assert last.startswith("Error: ")
    return last


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a cache and a pretraining, and what the pretraining printed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pretrain")
    for name, speed in (("still", 0.0), ("moving", 3.0)):
        for n in range(4):
            frames = moving_scene(7, 24, 32, speed, 0.0, seed=n)
            write_video(
                folder / "videos" / name / f"v_{name}_g{n + 1:02}_c01.avi", frames, MJPEG_AVI
            )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        succeed("extract-flow videos/ --algorithm farneback")
        return folder, succeed(f"pretrain {SMALL}")


@pytest.fixture
def work(finished, monkeypatch):
    """That folder as the current one; what is in it must stay."""
    monkeypatch.chdir(finished[0])
    return finished[0]


def test_a_pretraining_prints_losses_and_how_to_go_on(finished):
    folder, printed = finished
    assert "epoch 2/2  train loss" in printed
    assert "top-1" not in printed
    assert f"go on with train --weights {BEST}" in printed
    assert (folder / BEST).is_file()


def test_training_goes_on_from_it_on_the_same_split(work, tmp_path):
    printed = succeed(f"train {SMALL} --weights {BEST} --clips 2 --runs {tmp_path}")
    assert "weights:" in printed
    assert "decoder" in printed
    assert "top-1" in printed
    parts = []
    for folder in (work / "runs" / "pretrained", tmp_path):
        with (folder / "temporal" / "split.csv").open(newline="") as file:
            parts.append(list(csv.DictReader(file)))
    assert parts[0] == parts[1]


def test_training_on_another_split_from_it_gets_one_sentence(work, tmp_path):
    # Another seed may hold back the same videos; the list names what has been trained on.
    with (work / "runs" / "pretrained" / "temporal" / "split.csv").open(newline="") as file:
        learnt = {
            row["label"]: row["video"] for row in csv.DictReader(file) if row["part"] == "train"
        }
    (tmp_path / "list.txt").write_text("".join(f"{video}.avi\n" for video in learnt.values()))
    words = f"train {SMALL} --weights {BEST} --test-list {tmp_path / 'list.txt'} --runs {tmp_path}"
    assert "has learnt from videos that this run tests on" in sentence(words)


@pytest.mark.parametrize(
    "words", ["evaluate --stream temporal", "predict videos/still/v_still_g01_c01.avi"]
)
def test_it_is_no_trained_network(words, work, tmp_path):
    for stream in ("spatial", "temporal"):
        (tmp_path / stream).mkdir()
        (tmp_path / stream / "best.ckpt").write_bytes((work / BEST).read_bytes())
    assert "is of a pretraining" in sentence(f"{words} --runs {tmp_path}")


def test_it_is_replaced_only_on_demand_and_resumed_with_its_own_options(work):
    assert "--overwrite" in sentence(f"pretrain {SMALL}")
    assert "leave out --epochs" in sentence("pretrain --stream temporal --resume --epochs 5")
    assert BEST in succeed("pretrain --stream temporal --resume")
    assert "another command" in sentence("train --stream temporal --resume --runs runs/pretrained")


def test_its_clips_are_the_models_where_nothing_else_is_said(work, tmp_path):
    (tmp_path / "list.txt").write_text("still/nowhere.avi\n")
    sentence(f"pretrain --stream spatial --runs {tmp_path} --test-list {tmp_path / 'list.txt'}")
    record = json.loads((tmp_path / "pretrained" / "spatial" / "run.json").read_text())["options"]
    assert record["model"] == "videomae"
    assert (record["clip"]["length"], record["clip"]["size"]) == (16, 224)
    assert "weights" not in record
