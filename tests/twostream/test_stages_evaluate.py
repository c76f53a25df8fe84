import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream import stages
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.files import BEST
from twostream.runs.training_options import SplitOptions
from twostream.score_fusion import fuse
from twostream.scoring.evaluate import items_of_split
from twostream.scoring.scores import Scores, ScoresError


def by_hand(run_folder, cache, clips, crops, average="logits", ids=None):
    """The scores of a run, as a person would compute them from the cache's pixels."""
    model, spec = load_checkpoint(run_folder / BEST)
    length, size = spec.clip.length, spec.clip.crop
    rows = []
    ids = ids or spec.split.test
    for identifier in ids:
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
            if crops == 3:  # the pictures are squares, whose longer side is the width
                places += [(rest_y // 2, 0), (rest_y // 2, rest_x)]
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
        stacked = torch.stack(logits)
        mean = stacked.mean(0) if average == "logits" else stacked.softmax(1).mean(0).log()
        rows.append(mean.numpy())
    return ids, np.array(rows)


@pytest.mark.parametrize("stream", ["spatial", "temporal"])
@pytest.mark.parametrize(
    ("clips", "crops", "average", "views"),
    [  # the first are the run's own, which have no name
        (2, 1, "logits", ""),
        (3, 10, "logits", "-3x10"),
        (2, 1, "softmax", "-2x1-softmax"),
        (2, 3, "softmax", "-2x3-softmax"),
    ],
)
def test_an_evaluation_equals_a_slow_one_by_hand(
    stream, clips, crops, average, views, finished_runs, toy, tmp_path
):
    folder = tmp_path / stream
    shutil.copytree(finished_runs / stream, folder)
    how = {"clips": clips, "crops": crops, "average": average}
    scores = stages.evaluate(toy, folder, **how, batch_size=7, jobs=0)
    ids, expected = by_hand(folder, toy, **how)
    assert scores.ids == ids
    np.testing.assert_allclose(scores.logits, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(scores.labels, [i.startswith("wild") for i in ids])
    written = Scores.load(folder / f"scores{views}.npz")
    np.testing.assert_array_equal(written.logits, scores.logits)
    metrics = json.loads((folder / f"metrics{views}.json").read_text())
    assert metrics.items() >= how.items()
    assert written.average == average
    right = expected.argmax(1) == [i.startswith("wild") for i in ids]
    assert metrics["test"]["top1"] == pytest.approx(right.mean())


def test_the_validation_videos_are_scored_in_the_same_way(finished_runs, toy, tmp_path):
    folder = tmp_path / "temporal"
    shutil.copytree(finished_runs / "temporal", folder)
    stages.evaluate(toy, folder, clips=3, crops=10, jobs=0)
    split = load_checkpoint(folder / BEST)[1].split
    _, expected = by_hand(folder, toy, 3, 10, ids=split.validation)
    written = Scores.load(folder / "validation_scores-3x10.npz")
    assert written.ids == split.validation
    np.testing.assert_allclose(written.logits, expected, rtol=1e-3, atol=1e-4)
    metrics = json.loads((folder / "metrics-3x10.json").read_text())
    assert metrics["validation"]["videos"] == len(split.validation)


def test_an_evaluation_repeats_that_at_the_end_of_training(finished_runs, toy, tmp_path):
    shutil.copytree(finished_runs / "temporal", tmp_path / "temporal")
    before = Scores.load(tmp_path / "temporal" / "scores.npz")
    said = []
    scores = stages.evaluate(toy, tmp_path / "temporal", clips=2, crops=1, jobs=0, say=said.append)
    np.testing.assert_allclose(scores.logits, before.logits, rtol=1e-4, atol=1e-5)
    assert said == []


def test_scores_carry_the_groups_that_the_run_was_told(toy, options, items, tmp_path):
    # Two groups that no name tells of: the first clips, and the others.
    groups = {item.id: item.id[-2:] + item.id[:4] for item in items(toy)}
    lines = [f"{identifier},{group}" for identifier, group in groups.items()]
    (tmp_path / "groups.csv").write_text("\n".join(["video,group", *lines]))
    split = SplitOptions(groups=str(tmp_path / "groups.csv"), validation_share=0)
    scores = stages.train(toy, tmp_path / "run", options(schedule={"epochs": 1}, split=split))
    assert scores.groups == tuple(groups[identifier] for identifier in scores.ids)
    assert Scores.load(tmp_path / "run" / "scores.npz").groups == scores.groups


def test_a_cache_of_another_recipe_is_evaluated_with_a_word_about_each_difference(
    finished_runs, toy, make_toy, tmp_path
):
    shutil.copytree(finished_runs / "temporal", tmp_path / "temporal")
    # The same flow in half the steps: other integers, the same pixels.
    finer = make_toy(tmp_path / "cache", quantizer_step=0.125, bound=15.0)
    said = []
    before = Scores.load(tmp_path / "temporal" / "scores.npz")
    scores = stages.evaluate(
        finer, tmp_path / "temporal", clips=2, crops=1, jobs=0, say=said.append
    )
    np.testing.assert_allclose(scores.logits, before.logits, rtol=1e-3, atol=1e-4)
    assert len(said) == 1
    assert "bound 20.0, not 15.0" in said[0]
    assert "quantizer step 0.25, not 0.125" in said[0]


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_video_that_a_cache_lacks_is_named(part, finished_runs, make_toy, tmp_path):
    cache = make_toy(tmp_path / "cache")
    shutil.copytree(finished_runs / "temporal", tmp_path / "temporal")
    missing = getattr(load_checkpoint(tmp_path / "temporal" / BEST)[1].split, part)[1]
    cache.path(missing).unlink()
    with pytest.raises(UserError, match=rf"1 of the \d+ {part} videos.*{missing}"):
        stages.evaluate(cache, tmp_path / "temporal", jobs=0)


def test_evaluation_keeps_the_checkpoints_classes_where_a_cache_has_fewer(
    finished_runs, toy, make_toy, tmp_path
):
    cache = make_toy(tmp_path / "cache")
    spec = load_checkpoint(finished_runs / "temporal" / BEST)[1]
    for identifier in cache.ids():
        if identifier.startswith("calm"):
            cache.path(identifier).unlink()
    wild = tuple(i for i in spec.split.test if i.startswith("wild"))
    only_wild = replace(spec, split=replace(spec.split, test=wild))
    (items,) = items_of_split(cache, only_wild, "test", groups={})
    assert [item.label for item in items] == [1] * len(wild)


def test_other_clips_or_crops_leave_the_run_s_own_scores_alone(finished_runs, toy, tmp_path):
    folder = shutil.copytree(finished_runs / "temporal", tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    said = []
    many = stages.evaluate(toy, folder, clips=3, crops=10, jobs=0, say=said.append)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after.items() >= before.items()
    assert sorted(after.keys() - before.keys()) == [
        "metrics-3x10.json",
        "predictions-3x10.csv",
        "scores-3x10.npz",
        "validation_scores-3x10.npz",
    ]
    assert said == ["the run's own scores stay: these are in scores-3x10.npz"]
    kept = Scores.load(folder / "scores-3x10.npz")
    np.testing.assert_array_equal(kept.logits, many.logits)
    assert (kept.clips, kept.crops) == (3, 10)


def test_unlike_views_are_not_fused_and_like_ones_are_by_their_name(finished_runs, toy, tmp_path):
    runs = [shutil.copytree(finished_runs / s, tmp_path / s) for s in ("spatial", "temporal")]
    stages.evaluate(toy, runs[0], clips=3, jobs=0)
    with pytest.raises(ScoresError, match="does not exist"):
        fuse(runs, (0.5,), "softmax", tmp_path / "fused", views="3x1")
    stages.evaluate(toy, runs[1], clips=3, jobs=0)
    result = fuse(runs, (0.5,), "softmax", tmp_path / "fused", views="3x1")
    assert [one.clips for one in result.runs] == [3, 3]
    shutil.copy(runs[0] / "scores-3x1.npz", runs[0] / "scores.npz")
    with pytest.raises(ScoresError, match="3 clips × 1 crops and 2 clips × 1 crops"):
        fuse(runs, (0.5,), "softmax", tmp_path / "fused")


def test_unlike_averages_are_not_fused_and_like_ones_are_by_their_name(
    finished_runs, toy, tmp_path
):
    runs = [shutil.copytree(finished_runs / s, tmp_path / s) for s in ("spatial", "temporal")]
    for run in runs:
        stages.evaluate(toy, run, clips=2, average="softmax", jobs=0)
    result = fuse(runs, (0.5,), "softmax", tmp_path / "fused", views="2x1-softmax")
    assert {one.average for one in (*result.runs, result.fused)} == {"softmax"}
    shutil.copy(runs[0] / "scores-2x1-softmax.npz", runs[0] / "scores.npz")
    with pytest.raises(ScoresError, match="average softmax and logits"):
        fuse(runs, (0.5,), "softmax", tmp_path / "fused")


def test_scores_of_a_run_that_recorded_no_average_are_of_logits(finished_runs, toy, tmp_path):
    folder = shutil.copytree(finished_runs / "temporal", tmp_path / "run")
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["average"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    stages.evaluate(toy, folder, clips=2, jobs=0)
    assert not list(folder.glob("scores-*"))
    stages.evaluate(toy, folder, clips=2, average="softmax", jobs=0)
    assert [path.name for path in folder.glob("scores-*")] == ["scores-2x1-softmax.npz"]


def test_a_test_video_that_has_become_a_training_video_is_refused(
    finished_runs, toy, add, tmp_path
):
    spec = load_checkpoint(finished_runs / "temporal" / BEST)[1]
    cache = FlowCache.open(shutil.copytree(toy.root, tmp_path / "cache"))
    learnt, tested = spec.learnt[0], spec.split.test[0]
    add(cache, tested, count=5, size=(20, 20), sha256=learnt)
    folder = shutil.copytree(finished_runs / "temporal", tmp_path / "run")
    with pytest.raises(
        UserError, match=f"{tested}, which tests, a file that the network has learnt"
    ):
        stages.evaluate(cache, folder, clips=2, jobs=0)


def test_evaluation_is_computed_on_what_it_is_told(finished_runs, toy, tmp_path):
    folder = shutil.copytree(finished_runs / "temporal", tmp_path / "run")
    exact = Scores.load(folder / "scores.npz").logits
    rough = stages.evaluate(toy, folder, clips=2, jobs=0, precision="bf16-mixed").logits
    assert not np.array_equal(rough, exact)
    np.testing.assert_allclose(rough, exact, atol=0.05 * np.abs(exact).max())
    with pytest.raises(UserError, match="there is no tpu here"):
        stages.evaluate(toy, folder, clips=2, jobs=0, accelerator="tpu")
