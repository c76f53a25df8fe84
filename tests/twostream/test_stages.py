import csv
import json

import numpy as np
import pytest
import torch
from made_runs import rows_of, same, weights

from flowcache.errors import UserError
from twostream import stages
from twostream.data.clip_reader import ClipReader
from twostream.data.clip_spec import ClipSpec
from twostream.data.index import read_index
from twostream.data.splits import Split
from twostream.learning import spec_of, try_clip
from twostream.nets.layers import ClipSizeError
from twostream.runs import files
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.files import BEST, LAST
from twostream.runs.spec import Spec
from twostream.runs.training_options import SplitOptions, TrainOptions
from twostream.scoring.scores import Scores
from twostream.stages import Listener

# What a run leaves


def test_a_run_leaves_all_its_files_and_no_half_written_one(finished_runs):
    for stream in ("spatial", "temporal"):
        names = sorted(path.name for path in (finished_runs / stream).iterdir())
        assert names == [
            "best.ckpt",
            "last.ckpt",
            "metrics.csv",
            "metrics.json",
            "predictions.csv",
            "previous.ckpt",
            "run.json",
            "scores.npz",
            "split.csv",
            "validation_scores.npz",
        ]
        assert set(names) == {*files.OF_A_RUN, files.RECORD}


def test_both_streams_are_trained_and_tested_on_the_same_videos(finished_runs):
    spatial, temporal = (
        Scores.load(finished_runs / s / "scores.npz") for s in ("spatial", "temporal")
    )
    assert spatial.ids == temporal.ids
    assert spatial.trained_on == temporal.trained_on
    assert (spatial.name, temporal.name) == ("spatial", "temporal")


def test_the_validation_videos_are_scored_too_and_by_what_the_training_part_taught(finished_runs):
    folder = finished_runs / "temporal"
    split = load_checkpoint(folder / BEST)[1].split
    scores = Scores.load(folder / "validation_scores.npz")
    assert scores.ids == split.validation
    assert set(scores.trained_on) == set(split.train)
    assert set(scores.ids).isdisjoint(scores.trained_on)
    np.testing.assert_array_equal(scores.labels, [i.startswith("wild") for i in scores.ids])


def test_without_a_validation_part_nothing_is_said_of_it(toy, tmp_path, options):
    plan = options(split=SplitOptions(validation_share=0), schedule={"epochs": 1})
    stages.train(toy, tmp_path, plan)
    assert not (tmp_path / "validation_scores.npz").exists()
    assert "validation" not in json.loads((tmp_path / "metrics.json").read_text())


@pytest.mark.parametrize("stream", ["spatial", "temporal"])
def test_the_measures_of_a_run_are_those_of_its_scores(stream, finished_runs):
    folder = finished_runs / stream
    metrics = json.loads((folder / "metrics.json").read_text())
    for part, name in (("test", "scores.npz"), ("validation", "validation_scores.npz")):
        expected = by_hand(folder / name)
        assert {name: metrics[part][name] for name in expected} == pytest.approx(expected)
    assert (metrics["clips"], metrics["crops"]) == (2, 1)
    assert metrics["split"] == load_checkpoint(folder / BEST)[1].split.digest
    assert metrics["versions"] == json.loads((folder / "run.json").read_text())["versions"]


def by_hand(path):
    """The accuracies in a file of scores, counted one by one."""
    with np.load(path) as file:
        logits, labels = file["logits"], file["labels"].tolist()
    order = [np.argsort(-row).tolist() for row in logits]
    right = [ranked[0] == label for ranked, label in zip(order, labels, strict=True)]
    of_class = [
        [hit for hit, label in zip(right, labels, strict=True) if label == k] for k in set(labels)
    ]
    return {
        "videos": len(labels),
        "top1": sum(right) / len(right),
        "mean_class": sum(sum(own) / len(own) for own in of_class) / len(of_class),
    }


def test_the_written_split_is_the_one_in_the_checkpoint_and_in_the_scores(finished_runs):
    with (finished_runs / "temporal" / "split.csv").open(newline="") as file:
        parts = {row["video"]: row["part"] for row in csv.DictReader(file)}
    split = load_checkpoint(finished_runs / "temporal" / BEST)[1].split
    for part in ("train", "validation", "test"):
        assert sorted(v for v, p in parts.items() if p == part) == list(getattr(split, part))
    scores = Scores.load(finished_runs / "temporal" / "scores.npz")
    assert scores.ids == split.test
    assert set(scores.trained_on) == {*split.train, *split.validation}
    groups = {part: {v[:-4] for v, p in parts.items() if p == part} for part in parts.values()}
    assert sum(map(len, groups.values())) == len(set.union(*groups.values()))


def test_the_checkpoint_knows_the_cache_that_it_was_trained_on(finished_runs, toy):
    for stream in ("spatial", "temporal"):
        spec = load_checkpoint(finished_runs / stream / BEST)[1]
        assert spec.recipe == toy.recipe
        assert spec.stream == stream
        assert spec.classes == ("calm", "wild")


# The test set decides nothing


def test_what_the_test_videos_show_and_are_called_never_reaches_the_weights(
    toy, make_toy, add, tmp_path, options
):
    test = [i for i in toy.ids() if "_g04_" in i or "_g05_" in i]
    swapped = [
        i.replace("calm/", "*/").replace("wild/", "calm/").replace("*/", "wild/") for i in test
    ]
    other = make_toy(tmp_path / "cache")
    for identifier in test:
        other.path(identifier).unlink()
    for identifier in swapped:
        add(other, identifier, size=(20, 20), count=9)
    found = {}
    for name, cache, ids in (("own", toy, test), ("other", other, swapped)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{i}.avi\n" for i in ids))
        split = SplitOptions(test_list=str(tmp_path / f"{name}.txt"))
        plan = options(split=split, schedule={"epochs": 2})
        stages.train(cache, tmp_path / name, plan)
        spec = load_checkpoint(tmp_path / name / BEST)[1]
        assert spec.split.test == tuple(sorted(ids))
        found[name] = (weights(tmp_path / name / BEST), rows_of(tmp_path / name))
    assert same(found["own"][0], found["other"][0])
    assert found["own"][1] == found["other"][1]


# Clips that a network does not admit


def test_clips_that_the_network_does_not_admit_are_refused_before_any_is_read(
    toy, tmp_path, options, monkeypatch
):
    def read(*_):
        raise AssertionError("a clip was read")

    monkeypatch.setattr(ClipReader, "read", read)
    plan = options(model="cnn_m_2048", options={}, clip={"length": 1, "crop": 40})
    with pytest.raises(ClipSizeError, match="cnn_m_2048 needs pictures of 41×41 or more"):
        stages.train(toy, tmp_path, plan)


@pytest.mark.parametrize(
    ("stream", "model", "clip", "length", "crop", "resize"),
    [
        ("spatial", "tiny", {}, 1, 64, 73),
        ("temporal", "tiny", {}, 10, 64, 73),
        ("spatial", "c3d", {}, 16, 112, 128),
        ("temporal", "c3d", {"length": 8, "crop": 64}, 8, 64, 73),
        ("temporal", "c3d", {"length": 8, "resize": 0}, 8, 112, 0),
        ("spatial", "resnet", {}, 1, 224, 256),
        ("spatial", "videomae", {}, 16, 224, 256),
        ("temporal", "efficientnet_lite", {}, 10, 112, 128),
    ],
)
def test_clips_are_the_models_where_nothing_else_is_said(
    stream, model, clip, length, crop, resize, toy
):
    told = TrainOptions(stream=stream, model=model, clip=ClipSpec(stride=2, **clip))
    spec = spec_of(told, toy, ("a", "b"), Split((), (), ()))
    assert spec.clip == ClipSpec(length=length, crop=crop, resize=resize, stride=2)
    assert spec.pretraining is False


def test_trying_a_clip_draws_nothing(plain_recipe):
    spec = Spec(
        stream="temporal",
        model="tiny",
        options={},
        classes=("a", "b"),
        clip=ClipSpec(length=3, crop=16),
        recipe=plain_recipe(),
        split=Split((), (), ()),
    )
    draws = torch.get_rng_state()
    try_clip(spec)
    assert torch.equal(torch.get_rng_state(), draws)


# Starting weights, lists, damage


def test_given_weights_are_where_training_starts(finished_runs, toy, tmp_path, options):
    network = load_checkpoint(finished_runs / "spatial" / BEST)[0].network
    torch.save(network.state_dict(), tmp_path / "w.pt")
    plan = options(
        "temporal",
        init=str(tmp_path / "w.pt"),
        schedule={"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0},
    )
    said = []
    stages.train(toy, tmp_path / "run", plan, listener=Listener(say=said.append))
    started = load_checkpoint(tmp_path / "run" / BEST)[0].network
    torch.testing.assert_close(started.backbone.fc.weight, network.backbone.fc.weight)
    torch.testing.assert_close(
        started.backbone.features[4].weight, network.backbone.features[4].weight
    )
    mean = network.backbone.features[0].weight.mean(1, keepdim=True)
    torch.testing.assert_close(started.backbone.features[0].weight, mean.expand(-1, 6, -1, -1))
    assert any("averaged" in line for line in said)


@pytest.mark.parametrize("init", ["published", "missing.pt"])
def test_weights_that_are_not_to_be_had_are_refused(init, toy, tmp_path, options):
    with pytest.raises(UserError):
        stages.train(toy, tmp_path, options(init=init))


def test_lists_decide_the_split_of_a_run(toy, tmp_path, options):
    train_ids = [i for i in toy.ids() if "_g01_" in i or "_g02_" in i]
    test_ids = [i for i in toy.ids() if "_g03_" in i]
    for name, ids in (("train", train_ids), ("test", test_ids)):
        (tmp_path / name).write_text("".join(f"{i}.avi\n" for i in ids))
    (tmp_path / "classInd.txt").write_text("1 wild\n2 calm\n")
    split = SplitOptions(
        train_list=str(tmp_path / "train"),
        test_list=str(tmp_path / "test"),
        class_list=str(tmp_path / "classInd.txt"),
    )
    scores = stages.train(toy, tmp_path / "run", options(split=split, schedule={"epochs": 1}))
    assert scores.ids == tuple(sorted(test_ids))
    assert scores.classes == ("wild", "calm")
    assert set(scores.trained_on) == set(train_ids)
    assert [scores.classes[n] for n in scores.labels] == [i.split("/")[0] for i in scores.ids]


def test_a_group_on_both_sides_of_given_lists_stops_the_run(toy, tmp_path, options):
    (tmp_path / "test").write_text("calm/v_calm_g01_c01.avi\nwild/v_wild_g01_c01.avi\n")
    plan = options(split=SplitOptions(test_list=str(tmp_path / "test")))
    with pytest.raises(UserError, match="v_calm_g01"):
        stages.train(toy, tmp_path / "run", plan)
    assert not (tmp_path / "run" / LAST).exists()


@pytest.mark.parametrize("jobs", [0, 1])
def test_an_entry_that_breaks_in_training_is_named_in_one_sentence(
    jobs, make_toy, tmp_path, options
):
    cache = make_toy(tmp_path / "cache")
    for identifier in cache.ids():
        _spoil_flow(cache.path(identifier))
    read_index(cache)  # what an entry says of itself is still there
    with pytest.raises(UserError, match=r"v_\w+_g\d\d_c\d\d\.h5") as caught:
        stages.train(cache, tmp_path / "run", options(jobs=jobs))
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def _spoil_flow(path):
    import h5py

    with h5py.File(path, "r") as file:
        places = [file["flow"].id.get_chunk_info(n) for n in range(len(file["flow"]))]
    with path.open("r+b") as raw:
        for place in places:
            raw.seek(place.byte_offset + place.size // 2)
            byte = raw.read(1)
            raw.seek(-1, 1)
            raw.write(bytes([byte[0] ^ 255]))


def test_partial_videos_and_missing_groups_are_said(tmp_path, new_cache, add, options):
    cache = new_cache(tmp_path / "cache")
    for name in ("calm", "wild"):
        for n in range(5):
            add(
                cache,
                f"{name}/{n}",
                size=(16, 16),
                partial="cut" if (name, n) == ("calm", 3) else "",
            )
    said = []
    stages.train(
        cache, tmp_path / "run", options(schedule={"epochs": 1}), listener=Listener(say=said.append)
    )
    text = "\n".join(said)
    assert "1 videos are known only in part, the first is calm/3" in text
    assert "no groups" in text


@pytest.mark.parametrize(("sizes", "told"), [((20, 20), "50%"), ((20, 40), "100%")])
def test_a_training_says_how_much_is_told_without_a_picture(
    sizes, told, tmp_path, new_cache, add, options
):
    cache = new_cache(tmp_path / "cache")
    for name, side in zip(("calm", "wild"), sizes, strict=True):
        for n in range(5):
            add(cache, f"{name}/{n}", size=(20, side))
    said, plan = [], options(schedule={"epochs": 1})
    stages.train(cache, tmp_path / "run", plan, listener=Listener(say=said.append))
    assert f"size, length and frame rate alone tell the class of {told} of the test videos" in said


@pytest.mark.parametrize(
    ("model", "length", "stride"),
    # Of Kinetics: MViT's 16 × 4, TimeSformer's 8 × 32, VideoMAE's 16 × 4, ViViT's 32 × 2, the non-local
    # network's 8 × 8, C3D's 16 × 1 and I3D's 64 × 1, as their papers and configurations write it.
    [
        ("mvit", 16, 4),
        ("timesformer", 8, 32),
        ("videomae", 16, 4),
        ("vivit", 32, 2),
        ("non_local", 8, 8),
        ("c3d", 16, 1),
        ("i3d", 64, 1),
    ],
)
def test_frames_lie_as_far_apart_as_in_the_models_paper(model, length, stride, toy):
    spec = spec_of(TrainOptions(stream="spatial", model=model), toy, ("a", "b"), Split((), (), ()))
    assert (spec.clip.length, spec.clip.stride) == (length, stride)
