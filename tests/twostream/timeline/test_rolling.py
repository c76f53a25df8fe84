from dataclasses import replace

import numpy as np
import pytest
from made_videos import MJPEG_AVI, moving_scene, write_video

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.extraction.one import Job, extract_video
from flowcache.video.decode import Video
from twostream.data.clip_reader import ClipReader
from twostream.data.clip_spec import ClipSpec
from twostream.data.crop_and_flip import fixed_views
from twostream.data.index import read_index
from twostream.data.sampling import even_clips
from twostream.data.streams import STREAMS
from twostream.timeline.rolling import Rolling

FRAMES = 30
EACH_STREAM = pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))


@pytest.fixture(scope="module", params=[1, 2], ids=["step 1", "step 2"])
def video(request, tmp_path_factory):
    """A cache of one video, and the frames and codes from which its entry was written."""
    folder = tmp_path_factory.mktemp("rolling")
    how = {"frame_step": request.param, "backward": True, "size": "32", "jpeg_quality": 70}
    recipe = Recipe.of("farneback", {}, **how)
    path = write_video(folder / "c" / "v.avi", moving_scene(FRAMES, 48, 64, 1.5, 0.5), MJPEG_AVI)
    cache = FlowCache.create(folder / "cache", recipe)
    extract_video(Job(path, "c/v.avi", cache.path("c/v")), recipe)
    with Video(path) as opened:
        (frames,) = opened.frames(recipe.resize)
    return cache, frames, cache.entry("c/v").codes[:]


def fed(video, needs, count, times=None):
    """A rolling window to which the first frames of the video were added."""
    cache, frames, codes = video
    rolling, step = Rolling(needs, cache.recipe), cache.recipe.frame_step
    for n in range(count):
        time = frames.times[n] if times is None else times[n]
        rolling.add(frames.rgb[n].copy(), time, codes[n - step] if n >= step else None)
    return rolling


def same_bytes(one, other):
    return all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(one, other, strict=True)
    )


SPECS = [
    ClipSpec(length=1, crop=24, resize=0),
    ClipSpec(length=5, crop=24, resize=28),
    ClipSpec(length=4, stride=3, crop=20, resize=0, subtract_mean=False),
    ClipSpec(length=6, fps=12.5, crop=24, resize=0),
    ClipSpec(length=3, fps=9.0, crop=32, resize=0),
]


@EACH_STREAM
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.length}x{s.stride or s.fps}")
@pytest.mark.parametrize("crops", [1, 3, 10])
def test_the_newest_clip_is_the_last_one_of_a_cache_to_the_byte(video, stream, spec, crops):
    cache, _, _ = video
    (item,) = read_index(cache).items
    reader = ClipReader(cache, stream, spec)
    long = ClipSpec(length=12, crop=24, resize=0)
    # What is held for another, longer clip beside it changes nothing.
    for needs in ([(spec, stream)], [(long, STREAMS["spatial"]), (spec, stream)]):
        rolling = fed(video, needs, FRAMES)
        assert rolling.holds(spec, stream)
        clip = rolling.clip(spec, stream, crops)
        assert same_bytes(clip, reader.even(item, 1, 2, crops))
        assert same_bytes(clip, rolling.clip(spec, stream, crops))  # reading changes nothing


@EACH_STREAM
@pytest.mark.parametrize("spec", [s for s in SPECS if not s.fps], ids=lambda s: str(s.length))
def test_at_every_frame_it_is_the_clip_of_the_cache_that_ends_there(video, stream, spec):
    cache, frames, codes = video
    (item,) = read_index(cache).items
    reader, step = ClipReader(cache, stream, spec), cache.recipe.frame_step
    rolling = Rolling([(spec, stream)], cache.recipe)
    seen = 0
    for n in range(FRAMES):
        rolling.add(frames.rgb[n], frames.times[n], codes[n - step] if n >= step else None)
        counts = replace(item, frames=n + 1, fields=max(0, n + 1 - step))
        available = stream.available(counts)
        if available < 1:
            assert not rolling.holds(spec, stream)
            continue
        numbers = even_clips(np.arange(available), spec.length, spec.stride or 1, 2)[1]
        expected = reader.read(counts, numbers, lambda h, w: fixed_views(h, w, spec, 1))
        assert same_bytes(rolling.clip(spec, stream), expected)
        assert rolling.holds(spec, stream) == (np.diff(numbers) == (spec.stride or 1)).all()
        # From the first frame of the clip to the frame at which its last field ends.
        start = numbers.min() if rolling.holds(spec, stream) else 0
        assert rolling.seconds(spec, stream) == (frames.times[start], frames.times[n])
        seen += 1
    assert seen > 20


@EACH_STREAM
@pytest.mark.parametrize("rate", [10.0, 30.0])
def test_it_holds_no_more_than_the_longest_clip(video, stream, rate):
    step = video[0].recipe.frame_step
    lag = step if stream.is_displacement else {"spatial": 0, "difference": 1}[stream.name]
    times = np.arange(FRAMES) / rate
    for spec, frames in (
        (ClipSpec(length=4, stride=3, crop=8, resize=0), 10),
        (ClipSpec(length=1, crop=8, resize=0), 1),
        (ClipSpec(length=3, fps=5.0, crop=8, resize=0), int(0.4 * rate) + 1),
    ):
        rolling = fed(video, [(spec, stream)], FRAMES, times)
        assert frames + lag <= len(rolling) <= frames + lag + 1
        held = rolling.times
        np.testing.assert_array_equal(held, times[-len(held) :])


def test_clips_by_frame_rate_follow_time_stamps_that_are_uneven(video):
    stream = STREAMS["spatial"]
    spec = ClipSpec(length=5, fps=4.0, crop=24, resize=0)
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.12, FRAMES))
    rolling = fed(video, [(spec, stream)], FRAMES, times)
    wanted = times[-1] - np.arange(4, -1, -1) / 4.0
    nearest = [int(np.abs(times - t).argmin()) for t in wanted]
    clip = rolling.clip(spec, stream).values[0]
    full = fed(video, [(ClipSpec(length=FRAMES, crop=24, resize=0), stream)], FRAMES, times)
    expected = full.clip(ClipSpec(length=FRAMES, crop=24, resize=0), stream).values[0]
    # The clip ends within half a frame of the newest, so each frame is the nearest or its neighbour.
    found = [int(np.abs(expected.astype(int) - f).sum((1, 2, 3)).argmin()) for f in clip]
    assert np.abs(np.array(found) - nearest).max() <= 1
    assert found == sorted(found)


def test_a_clip_of_flow_needs_flow(video):
    _, frames, _ = video
    spec, stream = ClipSpec(length=2, crop=24, resize=0), STREAMS["temporal"]
    rolling = Rolling([(spec, stream)], video[0].recipe)
    with pytest.raises(ValueError, match="no clip"):
        rolling.clip(spec, stream)
    for n in range(6):
        rolling.add(frames.rgb[n], frames.times[n])
    with pytest.raises(ValueError, match="without their flow"):
        rolling.clip(spec, stream)
