from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_videos import H264_MP4, MJPEG_AVI, scene, write_video

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.extraction.one import Job, extract_video
from flowcache.video.decode import display_times
from twostream.timeline.decoding import RisingTimes, decode_isolated


@pytest.mark.usefixtures("lasting_children")
@pytest.mark.parametrize(
    ("how", "step", "frames"),
    [(MJPEG_AVI, 1, 25), (H264_MP4, 3, 25), (MJPEG_AVI, 1, 2), (MJPEG_AVI, 3, 2)],
    ids=str,
)
def test_parts_are_the_frames_and_the_fields_of_an_entry(tmp_path, how, step, frames):
    recipe = Recipe.of("dis", {}, frame_step=step, size="200")
    still = scene(200, 280).astype(np.uint8)
    moving = np.stack([np.roll(still, n, 1) for n in range(frames)])
    video = write_video(tmp_path / f"v{how.suffix}", moving, how, rate=30)
    opened, parts = [], []
    decode_isolated(video, recipe, with_flow=True, on_opened=opened.append, on_part=parts.append)
    (told,) = opened
    assert (told.rate, told.expected_frames) == (30, frames)
    each = [one for part in parts for one in part]
    assert [codes is None for _, _, codes in each] == [n < step for n in range(frames)]
    assert frames < 20 or len(parts) > 1
    if frames <= step:
        return
    cache = FlowCache.create(tmp_path / "cache", recipe)
    extract_video(Job(video, "v", cache.path("v")), recipe)
    with cache.entry("v") as entry:
        np.testing.assert_array_equal([codes for _, _, codes in each[step:]], entry.codes[:])
        np.testing.assert_array_equal([time for _, time, _ in each], entry.times)
        stored = entry.rgb[:].astype(float)
    assert np.abs(np.stack([rgb for rgb, _, _ in each]) - stored).mean() < 3  # but for JPEG


def all_of(stamps, rate=25.0):
    times = RisingTimes(rate)
    return [times.of(stamp) for stamp in stamps]


stamps = st.lists(st.floats(0, 100) | st.just(float("nan")), min_size=1, max_size=20)


@given(stamps)
def test_times_rise_whatever_the_stamps_are(stamps):
    times = all_of(stamps)
    assert np.isfinite(times).all()
    assert (np.diff(times) > 0).all()


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=20))
def test_stamps_that_rise_are_kept(steps):
    stamps = np.cumsum(steps)
    assert all_of(stamps) == stamps.tolist() == display_times(stamps, Fraction(25))[0].tolist()


def test_stamps_that_run_back_or_are_none_are_counted_as_for_a_whole_video():
    for stamps in (
        [2.0, 2.04, 2.04, 2.12, 2.16, 2.2],
        [float("nan")] * 6,
        [2.0, float("nan"), 2.08, 2.12, 2.16, 2.2],
    ):
        expected, _ = display_times(np.array(stamps), Fraction(25))
        np.testing.assert_allclose(all_of(stamps), expected)
    # Reordered frames: what was believed at first cannot be taken back, and the rest follows it.
    np.testing.assert_allclose(all_of([0.0, 0.12, 0.04, 0.08, 0.2]), [0, 0.12, 0.16, 0.2, 0.24])
