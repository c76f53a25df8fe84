"""Labels as a source goes on, against the prediction of the same frames as a file."""

from dataclasses import replace

import numpy as np
import pytest
from made_sources import MadeClock, MadeSource
from made_videos import MJPEG_AVI, moving_scene, write_video
from stub_networks import CLASSES, stub_network

from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from twostream.live.capture import Captured
from twostream.live.motion import Moved
from twostream.live.pipeline import Live
from twostream.live.setup import labeller_of, note_on_rate
from twostream.live.source import open_source
from twostream.prediction.predict import Predictor

pytestmark = pytest.mark.usefixtures("lasting_children")

FRAMES = 9


def recipe_of(size="24", frame_step=1, algorithm="farneback", **options):
    return Recipe.of(algorithm, options, size=size, frame_step=frame_step, bound=16.0)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("live") / "clip.avi"
    return write_video(path, moving_scene(FRAMES, 48, 64, 1.5, 0.5), MJPEG_AVI)


@pytest.fixture
def predictor_of(monkeypatch, tmp_path):
    """A predictor whose runs are stubs."""

    def make(**networks):
        load = lambda folder, _: networks[folder.name]  # noqa: E731
        monkeypatch.setattr("twostream.prediction.predict.load_network", load)
        return Predictor([tmp_path / name for name in networks])

    return make


def labels_of(predictor, source, seconds=1e9, **how):
    labeller, _ = labeller_of(predictor, seconds=seconds, **how)
    with Live(source, labeller, clock=MadeClock(), keep_all=True) as live:
        return [label for label, _ in live]


@pytest.mark.parametrize("frame_step", [1, 2])
@pytest.mark.parametrize("average", ["logits", "softmax"])
@pytest.mark.parametrize("stream", ["spatial", "temporal", "difference"])
def test_the_average_over_all_clips_of_a_file_is_its_prediction(
    predictor_of, video, stream, average, frame_step
):
    recipe = recipe_of(frame_step=frame_step)
    predictor = predictor_of(run=stub_network(stream, recipe, length=3))
    labels = labels_of(predictor, open_source(str(video)), average=average)
    # Clips end with each frame from the first that has a whole clip before it; these are all that
    # there are, and as many evenly spaced clips are the same.
    clips = {"spatial": FRAMES - 2, "temporal": FRAMES - frame_step - 2, "difference": FRAMES - 3}
    assert len(labels) == clips[stream]
    assert [label.number for label in labels] == list(range(FRAMES - len(labels), FRAMES))
    best = dict(predictor(video, clips=len(labels), average=average, top=3).best["run"])
    (probabilities,) = labels[-1].probabilities.values()
    np.testing.assert_allclose(probabilities, [best[name] for name in CLASSES], atol=1e-5)


@pytest.mark.parametrize(("rule", "weights"), [("softmax", (0.3,)), ("logits", (1.0, 2.0))])
def test_runs_of_unlike_recipes_are_each_fed_by_their_own_and_fused_as_predict_does(
    predictor_of, video, rule, weights
):
    # As long as the file, so that each sees one clip alone, and both see it at its end.
    spatial = stub_network("spatial", recipe_of("20"), length=FRAMES)
    temporal = stub_network("temporal", recipe_of("24", pyr_scale=0.6), length=FRAMES - 1)
    predictor = predictor_of(spatial=spatial, temporal=temporal)
    (label,) = labels_of(predictor, open_source(str(video)), rule=rule, weights=weights)
    best = predictor(video, clips=1, rule=rule, weights=weights, top=3).best
    assert list(label.probabilities) == list(best) == ["spatial", "temporal", "fused"]
    for name, values in label.probabilities.items():
        expected = dict(best[name])
        np.testing.assert_allclose(values, [expected[word] for word in CLASSES], atol=1e-5)


def test_a_label_is_the_average_over_the_seconds_that_were_asked_for(predictor_of, video):
    network = stub_network("spatial", recipe_of())
    predictor = predictor_of(run=network)
    single = labels_of(predictor, open_source(str(video)), seconds=0.01)
    three = labels_of(predictor, open_source(str(video)), seconds=3 / 25 - 0.001, average="softmax")
    alone = np.array([label.probabilities["run"] for label in single])
    for number, label in enumerate(three):
        expected = alone[max(0, number - 2) : number + 1].mean(0)
        np.testing.assert_allclose(label.probabilities["run"], expected, atol=1e-6)


def numbered(count, height=24, width=32):
    """Grey pictures whose level tells their number."""
    return [np.full((height, width, 3), 8 * number, np.uint8) for number in range(count)]


def levels(clip):
    return np.rint(clip.values.astype(float).mean((0, 2, 3, 4)) / 8).astype(int).tolist()


def test_in_place_of_dropped_frames_stand_the_nearest_ones(predictor_of):
    network = stub_network("spatial", recipe_of(), length=7)
    labeller, _ = labeller_of(predictor_of(run=network), seconds=1.0)
    labeller_frames(labeller, numbered(12), left_out={3, 4, 5, 8})
    seen = {levels(clip)[-1]: levels(clip) for clip in network.seen}
    assert seen[7] == [1, 2, 2, 6, 6, 6, 7]
    assert seen[9] == [2, 6, 6, 6, 7, 9, 9]
    assert seen[11] == [6, 6, 7, 9, 9, 10, 11]


def test_a_gap_that_is_longer_than_a_clip_leaves_nothing_of_what_was_before(predictor_of):
    network = stub_network("spatial", recipe_of(), length=4)
    labeller, _ = labeller_of(predictor_of(run=network), seconds=1.0)
    labeller_frames(labeller, numbered(6), numbers=[0, 1, 2, 3, 10_000_000, 10_000_001])
    assert [levels(clip) for clip in network.seen] == [[0, 1, 2, 3], [4] * 4, [4, 4, 4, 5]]


@pytest.mark.parametrize("frame_step", [1, 3])
@pytest.mark.parametrize(
    "taken", [(0, 6, 7, 8, 9), (0, 1, 9, 10), (2, 9, 10), (5, 12, 13)], ids=str
)
def test_the_first_frames_which_have_no_flow_stand_for_no_others(predictor_of, taken, frame_step):
    network = stub_network("temporal", recipe_of(frame_step=frame_step), length=5)
    labeller, _ = labeller_of(predictor_of(run=network), seconds=1.0)
    field = np.ones((2, 24, 32), np.int8)
    for number in taken:
        codes = field * number if number >= frame_step else None
        picture = numbered(1)[0]
        labeller.add(Moved(Captured(number, number / 25, 0.0, [picture], [None]), [codes]))
        labeller.label()
    assert network.seen
    for clip in network.seen:
        assert clip.values.shape[:2] == (1, 5)
        assert {*np.unique(clip.values)} <= {*taken} - {*range(frame_step)}
    assert network.seen[-1].values[0, -1].max() == taken[-1]


def labeller_frames(labeller, pictures, left_out=(), numbers=None):
    """Let a labeller see frames without the threads before it, and label each."""
    for place, picture in enumerate(pictures):
        if place not in left_out:
            number = numbers[place] if numbers else place
            frame = Captured(number, number / 25, 0.0, [picture], [None])
            labeller.add(Moved(frame, [None]))
            labeller.label()


def test_a_picture_of_another_size_begins_anew(predictor_of):
    network = stub_network("temporal", recipe_of())
    source = MadeSource([*numbered(6), *numbered(6, 32, 24)])
    labels = labels_of(predictor_of(run=network), source)
    assert [label.number for label in labels] == [3, 4, 5, 9, 10, 11]
    assert [label.rgb.shape[:2] for label in labels] == [(24, 32)] * 3 + [(32, 24)] * 3
    # What was before is no part of the average any more.
    alone = labels_of(predictor_of(run=network), MadeSource(numbered(6, 32, 24)))
    for late, early in zip(labels[3:], alone, strict=True):
        np.testing.assert_array_equal(late.probabilities["run"], early.probabilities["run"])


def test_another_algorithm_takes_the_place_of_the_one_that_trained_and_that_is_said(
    predictor_of, video
):
    spatial, temporal = (stub_network(stream, recipe_of()) for stream in ("spatial", "temporal"))
    predictor = predictor_of(spatial=spatial, temporal=temporal)
    other = predictor_of(
        spatial=spatial, temporal=stub_network("temporal", recipe_of(algorithm="dis"))
    )
    _, notes = labeller_of(predictor, seconds=1.0, algorithm="dis")
    assert notes == ["trained on flow by farneback, and given flow by dis: labels may be worse"]
    given, trained = (
        labels_of(one, open_source(str(video)), **how)
        for one, how in ((predictor, {"algorithm": "dis"}), (other, {}))
    )
    assert len(given) == len(trained) > 0
    for mine, theirs in zip(given, trained, strict=True):
        for name, values in mine.probabilities.items():
            np.testing.assert_array_equal(values, theirs.probabilities[name])
    assert labeller_of(predictor, seconds=1.0, algorithm="farneback")[1] == []
    with pytest.raises(UserError, match="no run reads flow"):
        labeller_of(predictor_of(spatial=spatial), seconds=1.0, algorithm="dis")


def test_frames_that_are_too_small_for_the_algorithm_are_refused(predictor_of):
    predictor = predictor_of(run=stub_network("temporal", recipe_of("12"), crop=8))
    with pytest.raises(UserError, match="too small for dis"):
        labels_of(predictor, MadeSource(numbered(6)), algorithm="dis")


@pytest.mark.parametrize(
    ("rate", "told"), [(15.0, True), (60.0, True), (25.0, False), (29.97, False), (0.0, False)]
)
def test_a_source_of_another_rate_than_the_training_videos_is_told(predictor_of, rate, told):
    network = stub_network("temporal", recipe_of())
    network.spec = replace(network.spec, frame_rates=(25.0, 30.0))
    predictor, source = predictor_of(run=network), MadeSource([], rate=rate)
    note = note_on_rate(predictor, source)
    assert bool(note) == told
    if told:
        assert f"gives {rate:g} frames/s, and the networks were trained on 25 to 30" in note
    by_time = stub_network("temporal", recipe_of(), fps=10.0, stride=None)
    by_time.spec = replace(by_time.spec, frame_rates=(25.0, 30.0))
    assert note_on_rate(predictor_of(run=by_time), source) == ""
