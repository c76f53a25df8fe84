import csv
import json

import pytest
import torch
from called_commands import sentence, succeed
from made_videos import write_two_classes

from twostream.option_fields import from_flat
from twostream.runs.run_json import start_run
from twostream.runs.training_options import PretrainOptions

SMALL = (
    "--stream temporal --model videomae --option patch=8 --option width=12 --option depth=1 "
    "--option heads=2 --length 4 --crop 16 --epochs 2 --jobs 0 --accelerator cpu"
)
BEST = "runs/pretrained/temporal/best.ckpt"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a cache and a pretraining, and what the pretraining printed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pretrain")
    write_two_classes(folder / "videos", 4)
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
    assert f"go on with train --init {BEST}" in printed
    assert (folder / BEST).is_file()


def test_training_goes_on_from_it_on_the_same_split(work, tmp_path):
    printed = succeed(f"train {SMALL} --init {BEST} --clips 2 --run {tmp_path}")
    assert "weights:" in printed
    assert "decoder" in printed
    assert "top-1" in printed
    parts = []
    for folder in (work / "runs" / "pretrained" / "temporal", tmp_path):
        with (folder / "split.csv").open(newline="") as file:
            parts.append(list(csv.DictReader(file)))
    assert parts[0] == parts[1]


def test_training_on_another_split_from_it_gets_one_sentence(work, tmp_path):
    # Another seed may hold back the same videos; the list names what has been trained on.
    with (work / "runs" / "pretrained" / "temporal" / "split.csv").open(newline="") as file:
        learnt = {
            row["label"]: row["video"] for row in csv.DictReader(file) if row["part"] == "train"
        }
    (tmp_path / "list.txt").write_text("".join(f"{video}.avi\n" for video in learnt.values()))
    words = f"train {SMALL} --init {BEST} --test-list {tmp_path / 'list.txt'} --run {tmp_path}"
    assert "has learnt from videos that this run tests on" in sentence(words)


@pytest.mark.parametrize("words", ["evaluate", "predict videos/still/v_still_g01_c01.avi"])
def test_it_is_no_trained_network(words, work):
    assert "is of a pretraining" in sentence(f"{words} --run runs/pretrained/temporal")


def test_it_is_replaced_only_on_demand_and_resumed_with_its_own_options(work):
    assert "--overwrite" in sentence(f"pretrain {SMALL}")
    said = sentence("pretrain --stream temporal --resume --epochs 5")
    assert "leave out" in said
    assert "--epochs" in said
    assert BEST in succeed("pretrain --stream temporal --resume")
    said = sentence("train --stream temporal --resume --run runs/pretrained/temporal")
    assert "another command" in said


def test_its_record_names_what_was_told_and_nothing_of_a_training(tmp_path):
    start_run(tmp_path, from_flat(PretrainOptions, {"stream": "spatial"}))
    record = json.loads((tmp_path / "run.json").read_text())["options"]
    assert record["model"] == "videomae"
    assert {"init", "label_smoothing", "clips", "crops"}.isdisjoint(record)


def test_what_only_a_training_has_is_no_option_of_it(work):
    for words in ("--init x.pt", "--label-smoothing 0.1", "--clips 3"):
        assert "No such option" in sentence(f"pretrain --stream spatial {words}")
