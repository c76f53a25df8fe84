import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from flowcache.errors import UserError
from twostream.data.clips import ClipReader, ClipSpec
from twostream.data.index import read_index
from twostream.data.splits import Split
from twostream.nets.layers import ClipSizeError
from twostream.runs.checkpoint import Spec, load_checkpoint
from twostream.runs.record import SplitOptions, TrainOptions, start_run
from twostream.scoring.scores import Scores
from twostream.stages import (
    evaluate_run,
    items_to_test,
    train_stream,
    try_clip,
)
from twostream.training import fit as train
from twostream.training.fit import BEST, LAST, METRICS


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[k], other[k]) for k in one)


def rows_of(folder):
    with (folder / METRICS).open(newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy, options):
    """A finished run of each stream, in `folder / stream`."""
    folder = tmp_path_factory.mktemp("runs")
    for stream in ("spatial", "temporal"):
        start_run(folder / stream, options(stream), overwrite=False)
        train_stream(toy, folder / stream, options(stream, schedule={"epochs": 2}))
    return folder


# What a run leaves


def test_a_run_leaves_all_its_files_and_no_half_written_one(run):
    for stream in ("spatial", "temporal"):
        names = sorted(path.name for path in (run / stream).iterdir())
        assert names == [
            BEST,
            LAST,
            METRICS,
            "predictions.csv",
            "run.json",
            "scores.npz",
            "split.csv",
        ]


def test_a_run_records_its_options_and_versions(run, options):
    assert TrainOptions.recorded(run / "temporal") == options("temporal")
    versions = json.loads((run / "temporal" / "run.json").read_text())["versions"]
    assert versions["torch"] in torch.__version__
    assert {"twostream", "python", "lightning", "numpy", "h5py", "av"} <= set(versions)


def test_all_options_survive_the_record(tmp_path, options):
    plan = options(
        "temporal",
        clip={"scales": (1.0, 0.875), "stride": 3, "subtract_mean": False},
        schedule={"partial_bn": True, "label_smoothing": 0.1, "optimizer": "sgd"},
        split=SplitOptions(groups="g.csv", test_share=0.4, skip_missing=True),
        weights="weights.pt",
        trainer={"devices": 2, "strategy": "ddp", "precision": "bf16-mixed"},
    )
    start_run(tmp_path, plan, overwrite=False)
    assert TrainOptions.recorded(tmp_path) == plan


def test_both_streams_are_trained_and_tested_on_the_same_videos(run):
    spatial, temporal = (Scores.load(run / s / "scores.npz") for s in ("spatial", "temporal"))
    assert spatial.ids == temporal.ids
    assert spatial.trained_on == temporal.trained_on
    assert (spatial.name, temporal.name) == ("spatial", "temporal")


def test_the_written_split_is_the_one_in_the_checkpoint_and_in_the_scores(run):
    with (run / "temporal" / "split.csv").open(newline="") as file:
        parts = {row["video"]: row["part"] for row in csv.DictReader(file)}
    split = load_checkpoint(run / "temporal" / BEST)[1].split
    for part in ("train", "validation", "test"):
        assert sorted(v for v, p in parts.items() if p == part) == list(getattr(split, part))
    scores = Scores.load(run / "temporal" / "scores.npz")
    assert scores.ids == split.test
    assert set(scores.trained_on) == {*split.train, *split.validation}
    groups = {part: {v[:-4] for v, p in parts.items() if p == part} for part in parts.values()}
    assert sum(map(len, groups.values())) == len(set.union(*groups.values()))


def test_the_checkpoint_knows_the_cache_that_it_was_trained_on(run, toy):
    for stream in ("spatial", "temporal"):
        spec = load_checkpoint(run / stream / BEST)[1]
        assert spec.recipe == toy.recipe
        assert spec.stream == stream
        assert spec.classes == ("calm", "wild")


# Runs that are there already


def test_a_trained_run_is_not_replaced_without_a_word(run, options):
    before = (run / "temporal" / BEST).read_bytes()
    with pytest.raises(UserError, match=r"resume it, overwrite it"):
        start_run(run / "temporal", options(), overwrite=False)
    assert (run / "temporal" / BEST).read_bytes() == before


def test_a_replaced_run_leaves_nothing_of_the_one_before(run, tmp_path, options):
    # Or, where the new run is stopped, its folder would hold the scores of another split.
    folder = tmp_path / "temporal"
    shutil.copytree(run / "temporal", folder)
    start_run(folder, options(seed=9), overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    assert TrainOptions.recorded(folder).seed == 9


def test_a_run_that_was_stopped_before_its_first_epoch_may_be_started_again(tmp_path, options):
    start_run(tmp_path, options(), overwrite=False)
    start_run(tmp_path, options(seed=1), overwrite=False)
    assert TrainOptions.recorded(tmp_path).seed == 1


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run to resume"):
        TrainOptions.recorded(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"options": {"stream": "temporal"}}', '{"options": 3}']
)
def test_a_record_of_something_else_is_refused_by_its_name(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        TrainOptions.recorded(tmp_path)


# Going on after a kill


class KilledError(Exception):
    pass


def kill_after_epoch(number):
    def on_epoch(row):
        if row["epoch"] == number:
            raise KilledError

    return {"on_epoch": on_epoch}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, toy, options):
    """A run of three epochs with dropout, flips and random crops."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    plan = options(options={"width": 4, "dropout": 0.5}, schedule={"epochs": 3}, seed=2)
    scores = train_stream(toy, folder, plan)
    return plan, folder, scores


def assert_equal_runs(folder, expected_folder, scores, expected):
    for name in (BEST, LAST):
        one, other = (torch.load(f / name, weights_only=True) for f in (folder, expected_folder))
        assert one["epoch"] == other["epoch"], name
        assert same(one["state_dict"], other["state_dict"]), name
    assert rows_of(folder) == rows_of(expected_folder)
    np.testing.assert_array_equal(scores.logits, expected.logits)
    assert scores.ids == expected.ids


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_after_an_epoch_goes_on_to_the_same_result(
    workers, undisturbed, toy, tmp_path
):
    plan, folder, expected = undisturbed
    plan = replace(plan, workers=workers)
    with pytest.raises(KilledError):
        train_stream(toy, tmp_path, plan, **kill_after_epoch(3))
    assert torch.load(tmp_path / LAST, weights_only=True)["epoch"] == 1  # counted from 0
    scores = train_stream(toy, tmp_path, plan, resume=True)
    assert_equal_runs(tmp_path, folder, scores, expected)


def test_a_run_killed_within_an_epoch_goes_on_to_the_same_result(
    undisturbed, toy, tmp_path, monkeypatch
):
    plan, folder, expected = undisturbed
    step = train.Training.training_step

    def breaking(self, batch, number):
        if self.current_epoch == 1 and number == 1:
            raise KilledError
        return step(self, batch, number)

    with monkeypatch.context() as patch:
        patch.setattr(train.Training, "training_step", breaking)
        with pytest.raises(KilledError):
            train_stream(toy, tmp_path, plan)
    scores = train_stream(toy, tmp_path, plan, resume=True)
    assert_equal_runs(tmp_path, folder, scores, expected)


def test_a_run_killed_before_its_first_checkpoint_starts_again(undisturbed, toy, tmp_path):
    plan, folder, expected = undisturbed
    scores = train_stream(toy, tmp_path, plan, resume=True)
    assert_equal_runs(tmp_path, folder, scores, expected)


def test_a_finished_run_is_resumed_to_itself(undisturbed, toy, tmp_path):
    plan, folder, expected = undisturbed
    shutil.copytree(folder, tmp_path / "run")
    scores = train_stream(toy, tmp_path / "run", plan, resume=True)
    assert_equal_runs(tmp_path / "run", folder, scores, expected)


def test_a_run_that_was_moved_goes_on_to_the_same_result(misled, tmp_path, options):
    # The best epoch so far must be remembered; here it is an early one.
    plan = options(schedule={"epochs": 4})
    expected = train_stream(misled, tmp_path / "whole", plan)
    best = torch.load(tmp_path / "whole" / BEST, weights_only=True)["epoch"] + 1
    assert best < 4, "a run whose last epoch is the best shows nothing"
    with pytest.raises(KilledError):
        train_stream(misled, tmp_path / "here", plan, **kill_after_epoch(4))
    (tmp_path / "here").rename(tmp_path / "there")
    scores = train_stream(misled, tmp_path / "there", plan, resume=True)
    assert_equal_runs(tmp_path / "there", tmp_path / "whole", scores, expected)


_CHILD = """
import sys
from pathlib import Path
from flowcache.cache.store import FlowCache
from twostream.stages import train_stream
from twostream.runs.record import TrainOptions

if __name__ == "__main__":
    cache, folder, resume = FlowCache.open(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3] == "1"
    options = TrainOptions.recorded(folder)
    train_stream(cache, folder, options, resume=resume, on_epoch=lambda r: print(r["epoch"], flush=True))
"""


@pytest.mark.slow
def test_a_run_killed_by_the_system_goes_on_to_the_same_result(undisturbed, toy, tmp_path):
    plan, folder, expected = undisturbed
    run_folder = tmp_path / "run"
    start_run(run_folder, plan, overwrite=False)
    script = tmp_path / "child.py"
    script.write_text(_CHILD)

    def child(resume):
        words = [sys.executable, str(script), str(toy.root), str(run_folder), resume]
        # As many threads as here: sums in another order differ in their last digits.
        threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=threads)

    for last_epoch in ("1", "2"):
        process = child("0" if last_epoch == "1" else "1")
        for line in process.stdout:
            if line.strip() == last_epoch:
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    process = child("1")
    process.communicate()
    assert process.returncode == 0
    scores = Scores.load(run_folder / "scores.npz")
    (run_folder / "run.json").unlink()
    assert_equal_runs(run_folder, folder, scores, expected)


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
        train_stream(cache, tmp_path / name, plan)
        spec = load_checkpoint(tmp_path / name / BEST)[1]
        assert spec.split.test == tuple(sorted(ids))
        found[name] = (weights(tmp_path / name / BEST), rows_of(tmp_path / name))
    assert same(found["own"][0], found["other"][0])
    assert found["own"][1] == found["other"][1]


# Evaluation


def by_hand(run_folder, cache, clips, crops):
    """The scores of a run, as a person would compute them from the cache's pixels."""
    model, spec = load_checkpoint(run_folder / BEST)
    length, size = spec.clip.length, spec.clip.size
    rows = []
    for identifier in spec.split.test:
        entry = cache.entry(identifier)
        info = entry.info
        count = info.fields if spec.stream == "temporal" else info.frames
        logits = []
        for n in range(clips):
            start = int(n * (count - length) / (clips - 1))
            numbers = list(range(start, start + length))
            if spec.stream == "temporal":
                values = entry.flow[numbers].data.astype(np.float64)
                values -= values.mean((2, 3), keepdims=True)
            else:
                values = np.moveaxis(entry.rgb[numbers] / 255.0, 3, 1)
                mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[
                    ..., None, None
                ]
                values = (values - mean) / std
            rest_y, rest_x = info.height - size, info.width - size
            places = [(rest_y // 2, rest_x // 2)]
            if crops == 10:
                places += [(0, 0), (0, rest_x), (rest_y, 0), (rest_y, rest_x)]
            for top, left in places:
                cut = values[:, :, top : top + size, left : left + size]
                views = [cut]
                if crops == 10:
                    mirror = cut[..., ::-1].copy()
                    if spec.stream == "temporal":
                        mirror[:, 0] *= -1
                    views.append(mirror)
                for view in views:
                    with torch.no_grad():
                        logits.append(model.network(torch.from_numpy(view[None].astype("f4")))[0])
        rows.append(torch.stack(logits).mean(0).numpy())
    return spec.split.test, np.array(rows)


@pytest.mark.parametrize("stream", ["spatial", "temporal"])
@pytest.mark.parametrize(("clips", "crops"), [(2, 1), (3, 10)])
def test_an_evaluation_equals_a_slow_one_by_hand(stream, clips, crops, run, toy, tmp_path):
    folder = tmp_path / stream
    shutil.copytree(run / stream, folder)
    items = items_to_test(toy, load_checkpoint(folder / BEST)[1])
    scores = evaluate_run(toy, folder, items, clips=clips, crops=crops, batch_size=7, workers=0)
    ids, expected = by_hand(folder, toy, clips, crops)
    assert scores.ids == ids
    np.testing.assert_allclose(scores.logits, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(scores.labels, [i.startswith("wild") for i in ids])
    written = Scores.load(folder / "scores.npz")
    np.testing.assert_array_equal(written.logits, scores.logits)


def test_an_evaluation_repeats_that_at_the_end_of_training(run, toy, tmp_path):
    shutil.copytree(run / "temporal", tmp_path / "temporal")
    before = Scores.load(tmp_path / "temporal" / "scores.npz")
    items = items_to_test(toy, load_checkpoint(tmp_path / "temporal" / BEST)[1])
    said = []
    scores = evaluate_run(
        toy, tmp_path / "temporal", items, clips=2, crops=1, workers=0, say=said.append
    )
    np.testing.assert_allclose(scores.logits, before.logits, rtol=1e-4, atol=1e-5)
    assert said == []


def test_a_cache_of_another_recipe_is_evaluated_with_a_word_about_each_difference(
    run, toy, make_toy, tmp_path
):
    shutil.copytree(run / "temporal", tmp_path / "temporal")
    # The same flow in half the steps: other integers, the same pixels.
    finer = make_toy(tmp_path / "cache", quantizer_step=0.125, bound=15.0)
    items = items_to_test(finer, load_checkpoint(tmp_path / "temporal" / BEST)[1])
    said = []
    before = Scores.load(tmp_path / "temporal" / "scores.npz")
    scores = evaluate_run(
        finer, tmp_path / "temporal", items, clips=2, crops=1, workers=0, say=said.append
    )
    np.testing.assert_allclose(scores.logits, before.logits, rtol=1e-3, atol=1e-4)
    assert len(said) == 1
    assert "bound 20.0, not 15.0" in said[0]
    assert "quantizer step 0.25, not 0.125" in said[0]


def test_a_test_video_that_a_cache_lacks_is_named(run, make_toy, tmp_path):
    cache = make_toy(tmp_path / "cache")
    spec = load_checkpoint(run / "temporal" / BEST)[1]
    cache.path(spec.split.test[1]).unlink()
    with pytest.raises(UserError, match=spec.split.test[1]):
        items_to_test(cache, spec)


def test_evaluation_keeps_the_checkpoints_classes_where_a_cache_has_fewer(
    run, toy, make_toy, tmp_path
):
    cache = make_toy(tmp_path / "cache")
    spec = load_checkpoint(run / "temporal" / BEST)[1]
    for identifier in cache.ids():
        if identifier.startswith("calm"):
            cache.path(identifier).unlink()
    wild = tuple(i for i in spec.split.test if i.startswith("wild"))
    items = items_to_test(cache, replace(spec, split=replace(spec.split, test=wild)))
    assert [item.label for item in items] == [1] * len(wild)


# Clips that a network does not admit


def test_clips_that_the_network_does_not_admit_are_refused_before_any_is_read(
    toy, tmp_path, options, monkeypatch
):
    def read(*_):
        raise AssertionError("a clip was read")

    monkeypatch.setattr(ClipReader, "read", read)
    plan = options(model="cnn_m_2048", options={}, clip={"length": 1, "size": 40})
    with pytest.raises(ClipSizeError, match="cnn_m_2048 needs pictures of 41×41 or more"):
        train_stream(toy, tmp_path, plan)


def test_trying_a_clip_draws_nothing(plain_recipe):
    spec = Spec(
        stream="temporal",
        model="tiny",
        options={},
        classes=("a", "b"),
        clip=ClipSpec(length=3, size=16),
        recipe=plain_recipe(),
        split=Split((), (), ()),
    )
    draws = torch.get_rng_state()
    try_clip(spec)
    assert torch.equal(torch.get_rng_state(), draws)


# Starting weights, lists, damage


def test_given_weights_are_where_training_starts(run, toy, tmp_path, options):
    network = load_checkpoint(run / "spatial" / BEST)[0].network
    torch.save(network.state_dict(), tmp_path / "w.pt")
    plan = options(
        "temporal",
        weights=str(tmp_path / "w.pt"),
        schedule={"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0},
    )
    said = []
    train_stream(toy, tmp_path / "run", plan, say=said.append)
    started = load_checkpoint(tmp_path / "run" / BEST)[0].network
    torch.testing.assert_close(started.backbone.fc.weight, network.backbone.fc.weight)
    torch.testing.assert_close(
        started.backbone.features[4].weight, network.backbone.features[4].weight
    )
    mean = network.backbone.features[0].weight.mean(1, keepdim=True)
    torch.testing.assert_close(started.backbone.features[0].weight, mean.expand(-1, 6, -1, -1))
    assert any("averaged" in line for line in said)


@pytest.mark.parametrize("weights", ["published", "missing.pt"])
def test_weights_that_are_not_to_be_had_are_refused(weights, toy, tmp_path, options):
    with pytest.raises(UserError):
        train_stream(toy, tmp_path, options(weights=weights))


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
    scores = train_stream(toy, tmp_path / "run", options(split=split, schedule={"epochs": 1}))
    assert scores.ids == tuple(sorted(test_ids))
    assert scores.classes == ("wild", "calm")
    assert set(scores.trained_on) == set(train_ids)
    assert [scores.classes[n] for n in scores.labels] == [i.split("/")[0] for i in scores.ids]


def test_a_group_on_both_sides_of_given_lists_stops_the_run(toy, tmp_path, options):
    (tmp_path / "test").write_text("calm/v_calm_g01_c01.avi\nwild/v_wild_g01_c01.avi\n")
    plan = options(split=SplitOptions(test_list=str(tmp_path / "test")))
    with pytest.raises(UserError, match="v_calm_g01"):
        train_stream(toy, tmp_path / "run", plan)
    assert not (tmp_path / "run" / LAST).exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_entry_that_breaks_in_training_is_named_in_one_sentence(
    workers, make_toy, tmp_path, options
):
    cache = make_toy(tmp_path / "cache")
    for identifier in cache.ids():
        _spoil_flow(cache.path(identifier))
    read_index(cache)  # what an entry says of itself is still there
    with pytest.raises(UserError, match=r"v_\w+_g\d\d_c\d\d\.h5") as caught:
        train_stream(cache, tmp_path / "run", options(workers=workers))
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
    train_stream(cache, tmp_path / "run", options(schedule={"epochs": 1}), say=said.append)
    text = "\n".join(said)
    assert "1 videos are known only in part, the first is calm/3" in text
    assert "no groups" in text
