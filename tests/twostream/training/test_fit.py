from types import SimpleNamespace

import pytest
import torch
from made_runs import checkpoint, rows_of, same, weights
from torch.nn import functional

from twostream import stages
from twostream.data.clip_spec import ClipSpec
from twostream.data.clips import TestClips, make_loader
from twostream.data.index import read_index
from twostream.data.streams import STREAMS
from twostream.nets.normalize import Normalized
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.files import BEST, LAST
from twostream.runs.training_options import Schedule, SplitOptions, TrainerOptions
from twostream.training.data import ClipData
from twostream.training.fit import _ProgressBar, fit
from twostream.training.module import Classification, Training


@pytest.mark.parametrize("stream", ["spatial", "temporal"])
def test_a_network_learns_what_its_stream_shows(stream, toy, tmp_path, options):
    scores = stages.train(toy, tmp_path, options(stream, schedule={"epochs": 8}))
    rows = rows_of(tmp_path)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 9))
    assert float(rows[-1]["train_loss"]) < 0.6 * float(rows[0]["train_loss"])
    assert scores.top(1) == 1.0
    assert all(0 <= float(row[f"{part}_top1"]) <= 1 for row in rows for part in ("train", "val"))


@pytest.fixture(scope="module")
def misled_run(tmp_path_factory, misled, options):
    """A run whose best epoch is not its last: the cache, its folder and its scores."""
    folder = tmp_path_factory.mktemp("misled run")
    return misled, folder, stages.train(misled, folder, options(schedule={"epochs": 4}))


def test_the_best_checkpoint_is_that_of_the_lowest_validation_loss(misled_run):
    cache, folder, _ = misled_run
    losses = [float(row["val_loss"]) for row in rows_of(folder)]
    lowest = losses.index(min(losses))
    assert lowest < len(losses) - 1, "a run whose last epoch is the best shows nothing"
    assert checkpoint(folder / BEST)["epoch"] == lowest
    assert checkpoint(folder / LAST)["epoch"] == len(losses) - 1
    assert not same(weights(folder / BEST), weights(folder / LAST))
    # And the loss in the table is that of these weights.
    for name, expected in ((BEST, losses[lowest]), (LAST, losses[-1])):
        model, spec = load_checkpoint(folder / name)
        items = read_index(cache).select(spec.split.validation)
        clips = TestClips(cache, items, spec.values, spec.clip, 3, 1)
        (batch,) = make_loader(clips, 1000, 0)
        with torch.no_grad():
            logits = model(batch.clip, batch.mean, batch.gain)
        loss = functional.cross_entropy(logits, batch.label)
        assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_scores_come_from_the_best_checkpoint_and_not_from_the_last(misled_run):
    cache, folder, scores = misled_run
    logits = {}
    for name in (BEST, LAST):
        model, spec = load_checkpoint(folder / name)
        item = read_index(cache).select(spec.split.test)[:1]
        (batch,) = make_loader(TestClips(cache, item, spec.values, spec.clip, 2, 1), 10, 0)
        with torch.no_grad():
            logits[name] = model(batch.clip, batch.mean, batch.gain).mean(0)
    assert scores.ids[0] == item[0].id
    own = torch.from_numpy(scores.logits[0])
    torch.testing.assert_close(own, logits[BEST], rtol=1e-4, atol=1e-4)
    assert (own - logits[LAST]).abs().max() > 1e-2


def test_checkpoints_are_read_without_executing_anything(misled_run):
    _, folder, _ = misled_run
    for name in (BEST, LAST):
        assert "twostream" in checkpoint(folder / name)


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory, toy, options):
    """The weights after two epochs with seed 5."""
    folder = tmp_path_factory.mktemp("two epochs")
    stages.train(toy, folder, options(schedule={"epochs": 2}, seed=5))
    return weights(folder / LAST)


@pytest.mark.parametrize("jobs", [0, 1])
def test_the_same_seed_gives_the_same_weights_whoever_loads_the_clips(
    jobs, two_epochs, toy, tmp_path, options
):
    plan = options(schedule={"epochs": 2}, seed=5, jobs=jobs)
    stages.train(toy, tmp_path, plan)
    assert same(weights(tmp_path / LAST), two_epochs)


def test_another_seed_gives_other_weights(two_epochs, toy, tmp_path, options):
    stages.train(toy, tmp_path, options(schedule={"epochs": 2}, seed=6))
    assert not same(weights(tmp_path / LAST), two_epochs)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_learning_rate_rises_and_falls_to_zero(optimizer, toy, tmp_path, options):
    schedule = {"epochs": 3, "optimizer": optimizer, "learning_rate": 0.01}
    stages.train(toy, tmp_path, options(schedule=schedule))
    rates = [float(row["learning_rate"]) for row in rows_of(tmp_path)]
    assert max(rates) <= 0.01
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-5


def norms(state, ending):
    return {k: v for k, v in state.items() if k.endswith(ending)}


def test_partial_batch_norm_freezes_all_statistics_but_the_first(toy, tmp_path, options):
    # Three epochs, so that training is entered again after a validation.
    stages.train(toy, tmp_path, options(schedule={"epochs": 3, "partial_bn": True}))
    first, *others = norms(weights(tmp_path / LAST), "running_mean").items()
    assert others
    assert first[1].abs().max() > 0, first[0]
    for name, mean in others:
        assert torch.all(mean == 0), name
    for name, count in list(norms(weights(tmp_path / LAST), "num_batches_tracked").items())[1:]:
        assert count == 0, name
    # Only the statistics are frozen: scale and offset go on learning.
    name = others[-1][0].replace("running_mean", "bias")
    assert weights(tmp_path / LAST)[name].abs().max() > 0


def test_without_partial_batch_norm_all_statistics_move(toy, tmp_path, options):
    stages.train(toy, tmp_path, options(schedule={"epochs": 1}))
    means = norms(weights(tmp_path / LAST), "running_mean")
    assert all(mean.abs().max() > 0 for mean in means.values())


def test_the_last_batch_is_trained_on_and_weight_decay_spares_what_has_one_dimension(
    toy, tmp_path, items
):
    everything = items(toy)
    network = torch.nn.Sequential(
        torch.nn.Flatten(1), torch.nn.LazyLinear(2), torch.nn.BatchNorm1d(2)
    )
    network(torch.zeros(2, 3, 2, 8, 8))
    seen = []

    def count(module, inputs, _):
        if module.training:
            seen.append(len(inputs[0]))

    network.register_forward_hook(count)
    stream = STREAMS["temporal"]
    data = ClipData(
        toy,
        everything[:11],
        everything[11:],
        stream,
        ClipSpec(length=3, crop=8),
        seed=0,
        batch_size=4,
        workers=0,
    )
    training = Training(
        Normalized(network, stream.scale(toy.recipe)),
        Classification(2),
        Schedule(epochs=1),
        lambda _: None,
    )
    trainer = fit(
        training,
        data,
        tmp_path,
        epochs=1,
        validated=True,
        resume_from=None,
        options=TrainerOptions(accelerator="cpu", devices=1),
    )
    assert seen == [4, 4, 3]
    for group in trainer.optimizers[0].param_groups:
        for parameter in group["params"]:
            assert (parameter.ndim > 1) == (group["weight_decay"] > 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_training_loss_is_the_cross_entropy_of_smoothed_labels(smoothing):
    class Fixed(torch.nn.Module):
        network = torch.nn.Identity()

        def normalise(self, clip, mean, gain):
            return clip

        def forward(self, clip, mean, gain):
            return clip

    training = Training(Fixed(), Classification(3, smoothing), Schedule(epochs=1), lambda _: None)
    logged = {}
    training.log = lambda name, value, **_: logged.update({name: value})

    class Batch:
        clip = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
        mean = gain = None
        label = torch.tensor([2, 1])

    logs = torch.log_softmax(Batch.clip, 1)
    own = torch.stack([logs[0, 2], logs[1, 1]])
    expected = -((1 - smoothing) * own + smoothing * logs.mean(1)).mean()
    torch.testing.assert_close(training.training_step(Batch, 0), expected)
    training.validation_step(Batch, 0)
    torch.testing.assert_close(logged["val_loss"], -own.mean())  # never smoothed


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions_train_and_can_be_evaluated(precision, toy, tmp_path, options):
    plan = options(trainer={"precision": precision}, schedule={"epochs": 1})
    scores = stages.train(toy, tmp_path, plan)
    assert len(scores) == len(set(scores.ids)) > 0


def test_without_a_validation_part_the_last_epoch_counts_as_the_best(
    toy, tmp_path, options, recwarn
):
    plan = options(split=SplitOptions(validation_share=0), schedule={"epochs": 2})
    stages.train(toy, tmp_path, plan)
    assert not [w.message for w in recwarn if issubclass(w.category, UserWarning)]
    assert checkpoint(tmp_path / BEST)["epoch"] == 1
    assert same(weights(tmp_path / BEST), weights(tmp_path / LAST))
    assert load_checkpoint(tmp_path / BEST)[1].split.validation == ()


# Options of the trainer


def test_gradients_are_clipped_to_a_norm(toy, tmp_path, options):
    # One step of SGD at the full rate, so the weights move by rate × gradient.
    def moved(limit, rate=0.5):
        schedule = {"epochs": 1, "batch_size": 1000, "optimizer": "sgd", "weight_decay": 0.0}
        plan = options(
            schedule=schedule | {"learning_rate": rate}, trainer={"gradient_clip": limit}
        )
        stages.train(toy, tmp_path / f"{limit} {rate}", plan)
        return parameters(tmp_path / f"{limit} {rate}" / LAST)

    start = moved(0.0, 1e-12)
    free, wide, narrow = ((moved(limit) - start).norm() for limit in (0.0, 1e6, 0.01))
    assert float(narrow) == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert float(free) > 2 * float(narrow)
    assert float(wide) == float(free)


def parameters(path):
    """All weights that are learnt, as one vector: without what batch normalisation counts."""
    state = weights(path)
    learnt = {name: v for name, v in state.items() if name.endswith((".weight", ".bias"))}
    return torch.cat([v.flatten() for v in learnt.values()]).double()


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 3), (2, 2), (3, 1), (50, 1)])
def test_several_batches_make_one_step(accumulate, steps, toy, tmp_path, options):
    plan = options(schedule={"epochs": 2}, trainer={"accumulate": accumulate})
    stages.train(toy, tmp_path, plan)
    assert len(load_checkpoint(tmp_path / LAST)[1].split.train) == 12
    assert checkpoint(tmp_path / LAST)["global_step"] == 2 * steps


def test_accumulated_gradients_are_those_of_one_batch_of_all(toy, tmp_path, items):
    def trained(batch_size, accumulate):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Flatten(1), torch.nn.Linear(3 * 2 * 8 * 8, 2))
        stream, everything = STREAMS["temporal"], items(toy)
        spec = ClipSpec(length=3, crop=8)
        sizes = {"seed": 0, "batch_size": batch_size, "workers": 0}
        fit(
            Training(
                Normalized(network, stream.scale(toy.recipe)),
                Classification(2),
                Schedule(epochs=1, optimizer="sgd"),
                lambda _: None,
            ),
            ClipData(toy, everything[:12], everything[12:], stream, spec, **sizes),
            tmp_path / f"{batch_size} {accumulate}",
            epochs=1,
            validated=True,
            resume_from=None,
            options=TrainerOptions(accelerator="cpu", devices=1, accumulate=accumulate),
        )
        return network[1].weight.detach()

    whole, halves, apart = trained(12, 1), trained(6, 2), trained(6, 1)
    torch.testing.assert_close(halves, whole)
    assert (apart - whole).abs().max() > 1e-4


def test_the_bar_counts_epochs_from_one():
    bar = _ProgressBar()
    bar._trainer = SimpleNamespace(max_epochs=4)
    assert [bar._get_train_description(n).split() for n in (0, 3)] == [
        ["epoch", "1/4"],
        ["epoch", "4/4"],
    ]
