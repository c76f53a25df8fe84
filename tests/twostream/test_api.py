"""What a program calls, beside what docs/python.md shows; that page runs as a test too."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_scores import told_streams
from torch import nn

import twostream as ts
from twostream import stages
from twostream.fusion import create_rule
from twostream.runs.checkpoint import load_checkpoint

SMALL = {"epochs": 1, "crop": 16, "resize": 0, "clips": 2, "jobs": 0, "batch_size": 4}


class Mean(nn.Module):
    """A network of a user's own: a linear map of each channel's mean."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(2, 2)

    def forward(self, clip):
        return self.map(clip.mean((1, 3, 4)))


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    """A network of one's own, and the run that trained it."""
    torch.manual_seed(0)
    network = Mean()
    folder = tmp_path_factory.mktemp("own") / "temporal"
    run = ts.train(toy.root, stream="temporal", model=network, length=3, run=folder, **SMALL)
    return network, run


def test_a_clip_that_is_not_for_training_is_the_middle_of_the_video_in_pixels(toy):
    clips = ts.Clips(toy.root, stream="temporal", part="all", length=3, crop=16)
    assert len(clips) == len(toy.ids())
    for number in (0, -1):
        clip, label = clips[number]
        with toy[clips.ids[number]] as entry:
            # Four fields have two starts, of which the first is taken; 2 pixels are cut at each side.
            flow = entry.flow[0:3].data
            expected = (flow - flow.mean((2, 3), keepdims=True))[..., 2:18, 2:18]
        np.testing.assert_allclose(clip.numpy(), expected, atol=1e-5)
        assert clips.classes[label] == clips.ids[number].split("/")[0]


def test_frames_come_as_they_are_stored(toy):
    clips = ts.Clips(toy.root, stream="spatial", part="test", crop=20)
    clip, _ = clips[0]
    with toy[clips.ids[0]] as entry:
        np.testing.assert_array_equal(clip[0].permute(1, 2, 0).numpy(), entry.rgb[2])


def test_a_clip_for_training_is_drawn_from_pytorchs_generator(toy):
    clips = ts.Clips(toy.root, stream="temporal", length=2, crop=8)
    torch.manual_seed(1)
    first = [clips[0][0] for _ in range(6)]
    torch.manual_seed(1)
    again = [clips[0][0] for _ in range(6)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({a.numpy().tobytes() for a in first}) > 1


def test_the_parts_are_those_of_a_training(toy, trained):
    _, run = trained
    ids = {part: ts.Clips(toy.root, stream="temporal", part=part).ids for part in ("train", "test")}
    assert ids["test"] == run.scores.ids
    assert ids["train"] == run.validation_scores.trained_on


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"part": "tests"}, "choose from all, train, validation, test"),
        ({"stream": "audio"}, "choose from spatial, temporal, bidirectional, difference"),
        ({"lenght": 3}, "no option 'lenght'"),
        ({"crop": 0}, "at least 1"),
    ],
)
def test_what_there_is_not_is_one_sentence(toy, changes, words):
    with pytest.raises(ts.UserError, match=words):
        ts.Clips(toy.root, **{"stream": "temporal", **changes})


def test_a_clip_that_does_not_exist_is_an_index_error(toy):
    clips = ts.Clips(toy.root, stream="temporal")
    with pytest.raises(IndexError, match=f"no clip {len(clips)}"):
        clips[len(clips)]


def test_a_network_of_ones_own_has_the_best_weights_and_must_be_passed_to_be_used(trained):
    network, run = trained
    saved = torch.load(run.folder / "best.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(network.map.weight, saved["model.network.map.weight"])
    with pytest.raises(ts.UserError, match=r"Mean of your own: pass it"):
        ts.load(run)
    assert ts.load(run, networks={"temporal": Mean()}).names == ["temporal"]
    with pytest.raises(
        ts.UserError, match="there is no run tempural, for which a network is passed"
    ):
        ts.load(run, networks={"tempural": Mean()})
    with pytest.raises(ts.UserError, match="name a run"):
        ts.load()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"epochs": 100}, "leave out epochs"),
        ({"epochz": 100}, "leave out epochz"),
        ({"options": {"width": 3}}, "leave out options"),
        ({"stream": "spatial"}, "of the temporal stream"),
    ],
)
def test_a_resumed_run_is_told_nothing_new(toy, trained, told, words):
    how = {"stream": "temporal", "run": trained[1].folder, **told}
    with pytest.raises(ts.UserError, match=words):
        ts.train(toy.root, resume=True, **how)


def test_a_model_of_ones_own_loop_scores_as_it_does_in_the_loop(toy, tmp_path):
    run = ts.train(
        toy.root, stream="temporal", model="tiny", length=3, run=tmp_path / "like", **SMALL
    )
    clips = ts.Clips(toy.root, stream="temporal", part="test", length=3, crop=16)
    model = ts.create_model("tiny", stream="temporal", classes=clips.classes, length=3).eval()
    ts.save(model, tmp_path / "mine" / "best.ckpt", like=run)
    shutil.copy(run.folder / "run.json", tmp_path / "mine")
    scores = stages.evaluate(toy, tmp_path / "mine", clips=1, jobs=0)
    with torch.no_grad():
        expected = torch.stack([model(clips[n][0][None])[0] for n in range(len(clips))])
    assert scores.ids == clips.ids
    np.testing.assert_allclose(scores.logits, expected.numpy(), rtol=1e-3, atol=1e-4)
    other = ts.create_model("tiny", stream="temporal", classes=3, length=3)
    with pytest.raises(ts.UserError, match="another form"):
        ts.save(other, tmp_path / "other.ckpt", like=run)


def test_a_network_of_ones_own_loop_keeps_the_normalisation_that_it_learnt_with(
    finished_runs, tmp_path
):
    model = ts.create_model("tiny", stream="spatial", classes=2, length=1, width=4)
    model.scale *= 2
    model.shift += 1
    ts.save(model, tmp_path / "mine.ckpt", like=finished_runs / "spatial")
    loaded, _ = load_checkpoint(tmp_path / "mine.ckpt")
    torch.testing.assert_close(loaded.scale, model.scale)
    torch.testing.assert_close(loaded.shift, model.shift)


def test_a_model_for_frames_takes_them_as_its_published_weights_expect():
    model = ts.create_model("mc3", stream="spatial", classes=2)
    model.network = torch.nn.Identity()
    seen = model(torch.full((1, 1, 3, 1, 1), 51, dtype=torch.uint8)).flatten()
    expected = [(0.2 - 0.43216) / 0.22803, (0.2 - 0.394666) / 0.22145, (0.2 - 0.37645) / 0.216989]
    assert seen.tolist() == pytest.approx(expected, rel=1e-5)


def test_plain_logits_are_fused_row_by_row():
    one, other = np.random.default_rng(0).normal(size=(2, 6, 3))

    def softmax(logits):
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    fused = ts.fuse([one, other], [1, 3], labels=[0, 1, 2, 0, 1, 2])
    np.testing.assert_allclose(
        fused.softmax(), softmax(one) / 4 + softmax(other) * 3 / 4, atol=1e-6
    )
    logits = ts.fuse([one, other, one], rule="logits")
    np.testing.assert_allclose(logits.logits, (2 * one + other) / 3, atol=1e-6)


def test_what_is_fitted_is_fitted_on_what_is_held_out():
    streams, held_out = told_streams(seed=1), told_streams(seed=2, part="held out")
    named = [replace(one, name=f"{n}: {one.name}") for n, one in enumerate(held_out)]
    for rule, weights in (("softmax", "fit"), ("log_linear", None)):
        fused = ts.fuse(streams, weights, rule=rule, held_out=held_out)
        expected = create_rule(rule, None, named)(
            [replace(one, name=known.name) for one, known in zip(streams, named, strict=True)]
        )
        np.testing.assert_array_equal(fused.logits, expected.logits)
    with pytest.raises(ts.UserError, match="there are none: train with a validation share"):
        ts.fuse(streams, "fit")
    with pytest.raises(ts.UserError, match="2 scores are to be fused, and 1 are held out"):
        ts.fuse(streams, "fit", held_out=held_out[:1])
    with pytest.raises(ts.UserError, match="was fitted on 40 of the videos"):
        ts.fuse(streams, rule="temperature", held_out=streams)


def test_weights_may_be_one_share_or_an_array_and_are_refused_in_a_sentence():
    streams = told_streams(n=6)
    expected = ts.fuse(streams, [0.75, 0.25]).logits
    for weights in (0.25, np.array([3, 1]), (0.25,)):
        np.testing.assert_allclose(ts.fuse(streams, weights).logits, expected, atol=1e-6)
    for weights in ("best", ["a", "b"]):
        with pytest.raises(ts.UserError, match="are no weights: give numbers, or fit"):
            ts.fuse(streams, weights)
