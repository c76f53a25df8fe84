import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_runs import KilledError, checkpoint, killed_after, rows_of
from torch import nn

from flowcache.errors import UserError
from twostream import learning, stages
from twostream.data.clip_reader import ClipReader
from twostream.nets.layers import ClipSizeError
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.files import BEST, EPOCHS, LAST
from twostream.runs.model_recipe import standard
from twostream.runs.run_json import recorded, start_run
from twostream.runs.split_of_run import split_cache
from twostream.runs.training_options import PretrainOptions, SplitOptions, TrainOptions
from twostream.stages import Listener

SMALL = {"patch": 8, "width": 12, "depth": 1, "heads": 2, "mask_ratio": 0.5}


@pytest.fixture(scope="module")
def plan(options):
    """A run of seconds of `videomae`; `plan(train=True)` for the same network's training."""

    def make(train=False, **changes):
        own = {
            "model": "videomae",
            "options": SMALL,
            "clip": {"length": 4} | changes.pop("clip", {}),
        }
        whole = options(**own | changes)
        shared = {name: getattr(whole, name) for name in PretrainOptions.__dataclass_fields__}
        return whole if train else PretrainOptions(**shared)

    return make


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, toy, plan):
    """The folder of a finished pretraining of the temporal stream, three epochs."""
    folder = tmp_path_factory.mktemp("pretrained") / "temporal"
    assert stages.pretrain(toy, folder, plan())
    return folder


# What it leaves


def test_a_pretraining_leaves_checkpoints_metrics_and_its_record_and_no_scores(pretrained, plan):
    names = sorted(path.name for path in pretrained.iterdir())
    assert names == [BEST, LAST, "metrics.csv", "previous.ckpt", "run.json", "split.csv"]
    assert recorded(PretrainOptions, pretrained) == standard(plan())
    for row in rows_of(pretrained):
        assert set(row) == {"epoch", "learning_rate", "train_loss", "val_loss"}


def test_the_loss_falls_where_one_patch_tells_of_another(tmp_path, new_cache, add, plan):
    # Every field is a ramp, so each patch, brought to mean 0 and variance 1, looks the same.
    cache = new_cache(tmp_path / "cache")
    ramp = np.broadcast_to(np.linspace(-4, 4, 16), (5, 2, 16, 16))
    frames = np.zeros((6, 16, 16, 3), np.uint8)
    for name in ("calm", "wild"):
        for n in range(6):
            add(cache, f"{name}/{n}", frames, ramp)
    stages.pretrain(cache, tmp_path / "run", plan(schedule={"epochs": 6}, clip={"flip": False}))
    losses = [float(row["val_loss"]) for row in rows_of(tmp_path / "run")]
    assert losses[-1] < 0.5 * losses[0]


def test_what_is_trained_is_the_models_own_pretrainer_behind_the_usual_door(pretrained):
    state = checkpoint(pretrained / BEST)["state_dict"]
    beginnings = {name.split(".")[2] for name in state if name.startswith("model.network.")}
    assert {"encoder", "decoder"} <= beginnings
    assert {"model.scale", "model.shift"} <= set(state)


def test_the_videos_are_divided_as_for_training_and_those_of_the_test_are_never_read(
    toy, tmp_path, plan, monkeypatch
):
    seen = set()
    read = ClipReader.read

    def noting(self, item, *rest):
        seen.add(item.id)
        return read(self, item, *rest)

    monkeypatch.setattr(ClipReader, "read", noting)
    stages.pretrain(toy, tmp_path, plan(schedule={"epochs": 1}))
    _, split = split_cache(toy, plan(train=True).split, plan().seed)
    assert seen == {*split.train, *split.validation}
    with (tmp_path / "split.csv").open(newline="") as file:
        parts = {row["video"]: row["part"] for row in csv.DictReader(file)}
    assert {video for video, part in parts.items() if part == "test"} == set(split.test)


# What it refuses


def test_a_model_without_a_pretraining_is_refused(toy, tmp_path, plan):
    with pytest.raises(UserError, match="c3d has no pretraining of its own"):
        stages.pretrain(toy, tmp_path, plan(model="c3d", options={}))


def test_clips_that_the_pretraining_does_not_admit_are_refused_before_the_first_epoch(
    toy, tmp_path, plan
):
    # One patch: a network that classifies takes it, but there is nothing to guess it from.
    with pytest.raises(ClipSizeError, match="two patches"):
        stages.pretrain(toy, tmp_path, plan(clip={"crop": 8}))
    assert not (tmp_path / EPOCHS).exists()


def test_its_checkpoint_is_no_trained_network(pretrained):
    with pytest.raises(UserError, match=r"best\.ckpt is of a pretraining.*as weights") as caught:
        load_checkpoint(pretrained / BEST)
    assert "\n" not in str(caught.value)


def test_its_run_is_not_resumed_as_a_training_nor_a_training_as_it(pretrained, tmp_path, plan):
    with pytest.raises(UserError, match=r"run\.json.*another command"):
        recorded(TrainOptions, pretrained)
    start_run(tmp_path, plan(train=True))
    with pytest.raises(UserError, match=r"run\.json.*another command"):
        recorded(PretrainOptions, tmp_path)


# Chance, and going on after a kill


def test_a_killed_pretraining_goes_on_to_the_same_result(pretrained, toy, tmp_path, plan):
    with pytest.raises(KilledError):
        stages.pretrain(toy, tmp_path, plan(), listener=killed_after(2))
    stages.pretrain(toy, tmp_path, plan(), resume=True)
    assert rows_of(tmp_path) == rows_of(pretrained)
    for name in (BEST, LAST):
        one, other = checkpoint(tmp_path / name), checkpoint(pretrained / name)
        assert one["epoch"] == other["epoch"]
        assert one["state_dict"].keys() == other["state_dict"].keys()
        assert all(torch.equal(v, other["state_dict"][k]) for k, v in one["state_dict"].items())


class Drawing(nn.Module):
    """A pretrainer that notes what it draws; the loss does not depend on it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.drawn = {True: [], False: []}

    def forward(self, clip):
        if clip.device.type != "meta":
            self.drawn[self.training].append(float(torch.rand(())))
        return (self.weight - 1).square().mean()


def draws(toy, folder, plan, monkeypatch):
    """What is drawn by each of two epochs: in training, and in validation."""
    network = Drawing()
    network.pretrainer = lambda: network
    with monkeypatch.context() as patch:
        patch.setattr("flowcache.plugins.create", lambda *_, **__: network.train())
        stages.pretrain(toy, folder, plan)
    return [
        (part[: len(part) // 2], part[len(part) // 2 :])
        for part in (network.drawn[True], network.drawn[False])
    ]


def test_masks_differ_between_epochs_in_training_and_not_in_validation(
    toy, tmp_path, plan, monkeypatch
):
    own = plan(schedule={"epochs": 2})
    training, validation = draws(toy, tmp_path / "0", own, monkeypatch)
    assert set(training[0]).isdisjoint(training[1])
    assert validation[0] == validation[1]
    again = draws(toy, tmp_path / "1", own, monkeypatch)
    assert again == [training, validation]
    other, _ = draws(toy, tmp_path / "2", plan(schedule={"epochs": 2}, seed=1), monkeypatch)
    assert set(other[0]).isdisjoint(training[0])


# Training from it


def test_training_starts_from_the_pretrained_weights(pretrained, toy, tmp_path, plan):
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
    said = []
    own = plan(train=True, init=str(pretrained / BEST), schedule=still)
    stages.train(toy, tmp_path, own, listener=Listener(say=said.append))
    network = load_checkpoint(tmp_path / BEST)[0].network.state_dict()
    before = checkpoint(pretrained / BEST)["state_dict"]
    carried = [name for name in network if f"model.network.encoder.{name}" in before]
    assert any("blocks" in name for name in carried)
    assert any("patch_embed" in name for name in carried)
    for name in carried:
        torch.testing.assert_close(network[name], before[f"model.network.encoder.{name}"])
    assert any("decoder" in line and "left out" in line for line in said)


@pytest.mark.parametrize("by", ["seed", "list"])
def test_weights_that_have_learnt_from_videos_that_would_test_are_refused(
    by, pretrained, toy, tmp_path, plan, monkeypatch
):
    weights = str(pretrained / BEST)
    learnt = checkpoint(pretrained / BEST)["twostream"]["split"]["train"]
    own = plan(train=True, init=weights)
    if by == "seed":
        own = replace(own, seed=5)
    else:
        group = [i for i in toy.ids() if i[:-4] == learnt[0][:-4]]
        rest = [
            i
            for i in toy.ids()
            if i.startswith("wild/v_wild_g01" if "calm" in group[0] else "calm/v_calm_g01")
        ]
        (tmp_path / "list").write_text("".join(f"{i}.avi\n" for i in [*group, *rest]))
        own = replace(own, split=SplitOptions(test_list=str(tmp_path / "list")))
    monkeypatch.setattr(learning, "fit", None)  # it never comes so far
    with pytest.raises(UserError, match=r"best\.ckpt has learnt from videos") as caught:
        stages.train(toy, tmp_path / "run", own)
    assert "\n" not in str(caught.value)


def test_a_trained_network_of_the_other_stream_is_held_to_the_same(toy, tmp_path, options):
    one = options(schedule={"epochs": 1})
    stages.train(toy, tmp_path / "temporal", one)
    weights = str(tmp_path / "temporal" / BEST)
    again = options(schedule={"epochs": 1}, init=weights)
    stages.train(toy, tmp_path / "again", again)
    with pytest.raises(UserError, match="has learnt from videos"):
        stages.train(toy, tmp_path / "other", replace(again, seed=5))
