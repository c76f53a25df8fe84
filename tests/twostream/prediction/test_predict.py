import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_videos import MJPEG_AVI, moving_scene, write_video
from runs_on_videos import STREAMS, train_on_videos

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.extraction.one import Job, extract_video
from twostream import stages
from twostream.data.index import read_index
from twostream.fusion import create_rule
from twostream.prediction.predict import Predictor
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.files import BEST, VALIDATION_SCORES
from twostream.scoring.evaluate import score
from twostream.scoring.scores import Scores

pytestmark = pytest.mark.usefixtures("lasting_children")

WEIGHTS = (0.4, 0.6)
REST = ("frame_step", "size", "bound", "quantizer_step", "jpeg_quality")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, options):
    """Videos, their cache, and a run of each stream: (folder, cache)."""
    folder = tmp_path_factory.mktemp("predict")
    return folder, train_on_videos(folder, options, epochs=2)


def runs_of(folder, *streams):
    return [folder / "runs" / stream for stream in streams or STREAMS]


def scored(cache, folder, items, **how):
    """The scores of any videos by a run's best checkpoint, read from the cache."""
    model, spec = load_checkpoint(folder / BEST)
    return score(model, spec, cache, items, **{"batch_size": 32, "workers": 0} | how)


@pytest.mark.parametrize(
    ("rule", "crops", "average"),
    [
        ("softmax", 1, "logits"),
        ("logits", 10, "logits"),
        ("logits", 3, "softmax"),
        ("softmax", 10, "softmax"),
    ],
)
def test_a_prediction_equals_the_evaluation_of_the_videos_entry(trained, rule, crops, average):
    folder, cache = trained
    items = read_index(cache).items
    views = {"clips": 3, "crops": crops, "average": average}
    expected = {
        stream: scored(cache, folder / "runs" / stream, items, **views) for stream in STREAMS
    }
    shares = dict(zip(STREAMS, WEIGHTS, strict=True))
    expected["fused"] = create_rule(rule, shares)(list(expected.values()))
    predictor = Predictor(runs_of(folder))
    for number in (0, 5):
        video = folder / "videos" / f"{items[number].id}.avi"
        prediction = predictor(video, weights=WEIGHTS, rule=rule, **views)
        assert prediction.video == str(video)
        assert list(prediction.best) == ["spatial", "temporal", "fused"]
        for name, best in prediction.best.items():
            probabilities = expected[name].softmax()[number]
            by_class = dict(zip(expected[name].classes, probabilities, strict=True))
            assert [c for c, _ in best] == sorted(by_class, key=lambda c: -by_class[c])
            for word, probability in best:
                assert probability == pytest.approx(by_class[word], abs=1e-5)


def test_a_weight_may_be_the_share_of_the_second_run(trained):
    folder, _ = trained
    predictor = Predictor(runs_of(folder))
    one, several = (predictor.rule("softmax", weights) for weights in (0.3, (0.7, 0.3)))
    assert one.shares == pytest.approx(several.shares)


def test_no_flow_is_computed_for_networks_that_see_frames_alone(trained):
    folder, _ = trained
    video = folder / "videos" / "moving" / "0.avi"
    seen = {}

    def look(_, entries):
        for name, entry in entries.items():
            seen[name] = bool(entry.codes[0:2].any()), entry.rgb[0:2]

    both = Predictor(runs_of(folder))(video, clips=2, on_entries=look)
    assert seen["spatial"][0]  # one pass serves both
    frames = seen["spatial"][1]
    alone = Predictor(runs_of(folder, "spatial"))(video, clips=2, on_entries=look)
    assert not seen["spatial"][0]
    np.testing.assert_array_equal(seen["spatial"][1], frames)
    assert alone.best["spatial"] == both.best["spatial"]


def test_one_stream_alone_predicts_without_a_fusion(trained):
    folder, _ = trained
    predictor = Predictor(runs_of(folder, "temporal"))
    assert predictor.names == ["temporal"]
    prediction = predictor(folder / "videos" / "still" / "0.avi", top=1)
    (best,) = prediction.best.values()
    assert list(prediction.best) == ["temporal"]
    assert len(best) == 1
    assert 0.5 <= best[0][1] <= 1


def test_a_prediction_leaves_no_files_and_needs_no_cache(trained, tmp_path, monkeypatch):
    folder, _ = trained
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    video = folder / "videos" / "still" / "0.avi"
    Predictor(runs_of(folder))(video, weights=WEIGHTS, clips=2)
    assert list(tmp_path.iterdir()) == []


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"no video at all"), "not a readable video"),
        (cut, "damaged|ends early|decoding fails"),
        (lambda path: write_video(path, moving_scene(1, 48, 64, 0, 0), MJPEG_AVI), "too short"),
        (lambda path: path.unlink(), "is no file"),
    ],
    ids=["no video", "cut", "one frame", "missing"],
)
def test_a_broken_video_is_refused_by_its_name_in_one_sentence(trained, tmp_path, spoil, words):
    folder, _ = trained
    video = write_video(tmp_path / "bad.avi", moving_scene(7, 48, 64, 1, 0), MJPEG_AVI)
    spoil(video)
    with pytest.raises(UserError, match=rf"bad\.avi.*({words})") as caught:
        Predictor(runs_of(folder))(video, weights=WEIGHTS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "weights",
    [(0.0, 0.0), (-1.0, 2.0), (1.5,), (1.0, 1.0, 1.0)],
    ids=str,
)
def test_weights_that_make_no_mean_are_refused(trained, weights):
    folder, _ = trained
    with pytest.raises(UserError, match="weight"):
        Predictor(runs_of(folder))(folder / "videos" / "still" / "0.avi", weights=weights)


@pytest.mark.parametrize(("rule", "weights"), [("softmax", "fit"), ("log_linear", ())])
def test_a_rule_is_fitted_on_the_validation_scores_of_the_runs(trained, rule, weights):
    folder, cache = trained
    items = [item for item in read_index(cache).items if item.id == "moving/3"]
    held_out, expected = (
        [replace(made(folder / "runs" / stream), name=stream) for stream in STREAMS]
        for made in (
            lambda run: Scores.load(run / VALIDATION_SCORES),
            lambda run: scored(cache, run, items, clips=2, crops=1),
        )
    )
    fused = create_rule(rule, None, held_out)([replace(one, ids=("another",)) for one in expected])
    predictor = Predictor(runs_of(folder))
    for _ in range(2):
        video = folder / "videos" / "moving" / "3.avi"
        best = dict(predictor(video, weights=weights, rule=rule, clips=2).best["fused"])
        np.testing.assert_allclose(
            [best[name] for name in fused.classes], fused.softmax()[0], atol=1e-5
        )
    assert predictor.rule(rule, weights) is predictor.rule(rule, weights)


def test_a_rule_that_needs_validation_scores_and_finds_none_says_so(trained, tmp_path):
    folder, _ = trained
    runs = [shutil.copytree(run, tmp_path / run.name) for run in runs_of(folder)]
    (runs[1] / VALIDATION_SCORES).unlink()
    with pytest.raises(UserError, match=r"temporal has no validation_scores\.npz"):
        Predictor(runs).rule("temperature")


def test_checkpoints_of_different_classes_are_refused(trained, make_toy, tmp_path, options):
    folder, _ = trained
    stages.train(make_toy(tmp_path / "cache"), tmp_path / "run", options(schedule={"epochs": 1}))
    with pytest.raises(UserError, match="different classes"):
        Predictor([*runs_of(folder, "spatial"), tmp_path / "run"])


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="train that stream first"):
        Predictor([tmp_path / "spatial"])


def test_an_algorithm_whose_device_is_not_here_is_replaced_and_that_is_said(trained, monkeypatch):
    folder, cache = trained
    video = folder / "videos" / "moving" / "1.avi"
    plain = Predictor(runs_of(folder))
    assert plain.notes == []
    other = Recipe.of("dis", {}, **{key: getattr(cache.recipe, key) for key in REST})
    monkeypatch.setattr("twostream.prediction.predict.for_this_machine", lambda recipe: other)
    replaced = Predictor(runs_of(folder))
    (note,) = replaced.notes
    assert "trained on flow by farneback" in note
    assert "dis takes its place" in note
    mine, theirs = (p(video, weights=WEIGHTS, clips=2).best for p in (plain, replaced))
    assert mine["spatial"] == theirs["spatial"]
    assert mine["temporal"] != theirs["temporal"]


def test_every_checkpoint_is_fed_by_its_own_recipe(trained, options, tmp_path):
    folder, cache = trained
    recipe = replace(cache.recipe, size="24")
    other = FlowCache.create(tmp_path / "cache", recipe)
    for identifier in cache.ids():
        video = folder / "videos" / f"{identifier}.avi"
        extract_video(Job(video, f"{identifier}.avi", other.path(identifier)), recipe)
    stages.train(other, tmp_path / "run", options(schedule={"epochs": 1}))
    scores = scored(other, tmp_path / "run", read_index(other).items, clips=2, crops=1)
    predictor = Predictor([*runs_of(folder, "spatial"), tmp_path / "run"])
    video = folder / "videos" / f"{scores.ids[0]}.avi"
    best = predictor(video, weights=WEIGHTS, clips=2).best["run"]
    expected = dict(zip(scores.classes, scores.softmax()[0], strict=True))
    np.testing.assert_allclose([p for _, p in best], [expected[c] for c, _ in best], atol=1e-5)
