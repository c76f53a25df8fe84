import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from made_videos import MJPEG_AVI, moving_scene, write_video
from runs_on_videos import SPEEDS, STREAMS

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.extraction.one import Job, extract_video
from flowcache.video.decode import Video
from twostream.data.clip_reader import ClipReader
from twostream.data.crop_and_flip import fixed_views
from twostream.data.index import read_index
from twostream.prediction.predict import Predictor
from twostream.scoring.detection import Segment, mean_average_precision
from twostream.timeline.options import TimelineOptions
from twostream.timeline.predict import predict_timeline

pytestmark = pytest.mark.usefixtures("lasting_children")

RATE = 25
FINE = TimelineOptions(hop=0.2, window=0.5, min_length=0.4)


def put_end_to_end(path, *shown, how=MJPEG_AVI):
    """A video of (class, frames) after one another, and when each of them is shown."""
    frames, segments, start = [], [], 0.0
    for number, (name, count) in enumerate(shown):
        frames.append(moving_scene(count, 48, 64, SPEEDS[name], 0.5, seed=number))
        segments.append(Segment(start, start + count / RATE, name))
        start += count / RATE
    return write_video(path, np.concatenate(frames), how, rate=RATE), segments


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A video in which what is shown changes four times, and its segments."""
    return put_end_to_end(
        tmp_path_factory.mktemp("long") / "long.avi",
        *(("still", 30), ("moving", 25), ("still", 40), ("moving", 31), ("still", 20)),
    )


@pytest.fixture(scope="module")
def predictor(trained):
    folder, _ = trained
    return Predictor([folder / "runs" / stream for stream in STREAMS])


def test_clips_put_end_to_end_are_found_by_the_stream_that_sees_motion(predictor, long):
    video, true = long
    shares = []
    timeline = predict_timeline(predictor, video, FINE, weights=(0, 1), on_share=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] <= 1
    assert list(timeline.scores) == ["spatial", "temporal", "fused"]
    assert (timeline.edges[0], timeline.edges[-1]) == pytest.approx((0, 146 / RATE))
    assert timeline.partial == ""
    segments = timeline.segments
    assert mean_average_precision({"v": segments["temporal"]}, {"v": true}, 0.5) == 1.0
    assert mean_average_precision({"v": segments["spatial"]}, {"v": true}, 0.5) < 0.5
    # The fusion has all its weight on the temporal stream.
    np.testing.assert_allclose(timeline.scores["fused"], timeline.scores["temporal"], atol=1e-6)
    assert mean_average_precision({"v": segments["fused"]}, {"v": true}, 0.5) == 1.0


def windows_of_the_cache(network, cache, item, options, crops, average):
    """The mean of clips read from the cache, one window after the other: (N, K) and the edges."""
    spec, step = network.spec, cache.recipe.frame_step
    reader = ClipReader(cache, spec.values, spec.clip)
    times = np.arange(item.frames) / RATE
    span = (spec.clip.length - 1) * (spec.clip.stride or 1)
    lag = item.frames - spec.values.available(item)
    clips, due = [], 0.0
    for newest in range(item.frames):
        first = newest - lag - span
        if first < 0 or (times[newest] < due - 1e-6 and newest < item.frames - 1):
            continue
        due = times[newest] if not clips else due
        while due <= times[newest] + 1e-6:
            due += options.hop
        numbers = np.arange(first, first + span + 1, spec.clip.stride or 1)
        clip = reader.read(item, numbers, lambda h, w: fixed_views(h, w, spec.clip, crops))
        clips.append(((times[first] + times[newest]) / 2, network.logits(clip).astype(float)))
    assert step == 1
    end = item.frames / RATE
    edges = [*np.arange(0, end - 1e-9, options.hop), end]
    rows = []
    for one, other in pairwise(edges):
        centre = (one + other) / 2
        seen = [c for t, c in clips if abs(t - centre) <= options.window / 2 + 1e-6]
        seen = seen or [min(clips, key=lambda c: abs(c[0] - centre))[1]]
        values = np.concatenate(seen)
        if average == "softmax":
            values = np.exp(values) / np.exp(values).sum(1, keepdims=True)
            rows.append(values.mean(0))
        else:
            mean = values.mean(0)
            rows.append(np.exp(mean) / np.exp(mean).sum())
    return np.array(rows), edges


@pytest.mark.parametrize(
    ("crops", "average", "hop", "window"),
    [(1, "logits", 0.2, 0.5), (3, "softmax", 0.33, 1.0), (10, "softmax", 0.5, 0.05)],
)
def test_scores_over_time_are_means_of_clips_that_a_cache_gives(
    predictor, long, trained, tmp_path, crops, average, hop, window
):
    video, _ = long
    _, trained_cache = trained
    cache = FlowCache.create(tmp_path / "cache", trained_cache.recipe)
    extract_video(Job(video, "c/long.avi", cache.path("c/long")), cache.recipe)
    (item,) = read_index(cache).items
    options = TimelineOptions(hop=hop, window=window, min_length=0)
    timeline = predict_timeline(predictor, video, options, crops=crops, average=average)
    for name, network in zip(STREAMS, predictor.networks, strict=True):
        expected, edges = windows_of_the_cache(network, cache, item, options, crops, average)
        np.testing.assert_allclose(timeline.edges, edges)
        np.testing.assert_allclose(timeline.scores[name], expected, atol=1e-5)
    mean = (timeline.scores["spatial"] + timeline.scores["temporal"]) / 2
    np.testing.assert_allclose(timeline.scores["fused"], mean, atol=1e-6)


@pytest.mark.parametrize("rule", ["log_linear", "stacking"])
def test_what_is_fitted_fuses_each_part_of_a_timeline(predictor, long, rule):
    timeline = predict_timeline(predictor, long[0], FINE, rule=rule)
    np.testing.assert_allclose(timeline.scores["fused"].sum(1), 1, atol=1e-5)
    assert len(timeline.segments["fused"]) >= 1


def test_a_video_shorter_than_a_clip_and_a_hop_is_one_segment(predictor, trained, tmp_path):
    folder, _ = trained
    video, _ = put_end_to_end(tmp_path / "short.avi", ("moving", 3))
    timeline = predict_timeline(predictor, video)
    np.testing.assert_allclose(timeline.edges, [0, 3 / RATE])
    for name in STREAMS:
        (segment,) = timeline.segments[name]
        assert (segment.start, segment.end) == pytest.approx((0, 3 / RATE))
    with pytest.raises(UserError, match=r"one\.avi: too short: it has 1 frame"):
        predict_timeline(predictor, put_end_to_end(tmp_path / "one.avi", ("still", 1))[0])
    with pytest.raises(UserError, match="is no file"):
        predict_timeline(predictor, folder / "absent.avi")


def test_what_comes_before_the_break_of_a_video_is_told_and_marked(predictor, long, tmp_path):
    video, _ = long
    broken = Path(shutil.copy(video, tmp_path / "broken.avi"))
    raw = bytearray(broken.read_bytes())
    raw[int(0.6 * len(raw)) :] = b""
    broken.write_bytes(raw)
    timeline = predict_timeline(predictor, broken, FINE)
    whole = predict_timeline(predictor, video, FINE)
    assert "broken.avi" in timeline.partial
    assert 2 < timeline.edges[-1] < whole.edges[-1] - 1
    # Windows that lie before the break are the same.
    before = int(np.searchsorted(timeline.edges, timeline.edges[-1] - 0.8))
    for name, scores in timeline.scores.items():
        np.testing.assert_allclose(scores[:before], whole.scores[name][:before], atol=1e-6)
    broken.write_bytes(raw[: len(raw) // 100])
    with pytest.raises(UserError, match=r"broken\.avi"):
        predict_timeline(predictor, broken, FINE)


def test_runs_of_different_recipes_each_see_what_they_were_trained_on(predictor, long):
    video, _ = long
    alone = predict_timeline(predictor, video, FINE)
    other = Predictor.__new__(Predictor)
    other.__dict__.update(predictor.__dict__)
    larger = replace(predictor.recipes[1], size="40")
    other.recipes = [predictor.recipes[0], larger]
    shares = []
    both = predict_timeline(other, video, FINE, on_share=shares.append)
    assert shares == sorted(shares)
    np.testing.assert_array_equal(both.scores["spatial"], alone.scores["spatial"])
    assert not np.allclose(both.scores["temporal"], alone.scores["temporal"], atol=1e-3)


def test_flow_that_nobody_reads_is_not_computed(trained, long):
    folder, _ = trained
    spatial = Predictor([folder / "runs" / "spatial"])
    expected = predict_timeline(spatial, long[0], FINE)
    spatial.recipes = [
        Recipe(**{**spatial.recipes[0].__dict__, "algorithm_version": "of another machine"})
    ]
    timeline = predict_timeline(spatial, long[0], FINE)
    np.testing.assert_array_equal(timeline.scores["spatial"], expected.scores["spatial"])
    temporal = Predictor([folder / "runs" / "temporal"])
    temporal.recipes = spatial.recipes
    with pytest.raises(UserError, match="of another machine"):
        predict_timeline(temporal, long[0], FINE)


@pytest.mark.slow
def test_real_files_of_all_kinds_give_a_timeline_or_a_sentence(predictor, data):
    told = {}
    for video in sorted((data / "odd").iterdir()):
        try:
            told[video.name] = predict_timeline(predictor, video)
        except UserError as error:
            told[video.name] = str(error)
    refused = {name for name, one in told.items() if isinstance(one, str)}
    assert all(name in told[name] and "\n" not in told[name] for name in refused)
    assert refused == {"bad_video.mp4", "testsrc2_mpeg4.mp4"}  # no video; a single frame
    whole = {name: one for name, one in told.items() if name not in refused}
    assert {name for name, one in whole.items() if one.partial} == {"corrupted.mp4"}
    # 28 of 50 frames, at ten a second; and a container that says 444 frames and holds 68.
    assert whole["corrupted.mp4"].edges[-1] == pytest.approx(2.8, abs=0.1)
    with Video(data / "odd" / "tree.avi") as tree:
        end = tree.times[-1] + 1 / float(tree.rate)
    assert whole["tree.avi"].edges[-1] == pytest.approx(end, abs=0.1)
    for one in whole.values():
        for segments in one.segments.values():
            assert segments[0].start == pytest.approx(one.edges[0])
            assert segments[-1].end == pytest.approx(one.edges[-1])
