import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twostream.data.sampling import even_clips, random_clips


def random_clip(available, length, stride, rng):
    (clip,) = random_clips(np.arange(available), length, stride, 1, rng)
    return clip


AVAILABLE = st.integers(1, 300)
LENGTH = st.integers(1, 40)
STRIDE = st.integers(1, 6)


def fits(available, length, stride):
    return (length - 1) * stride < available


@given(AVAILABLE, LENGTH, STRIDE, st.integers(0, 99))
def test_a_random_clip_is_valid_and_evenly_spaced(available, length, stride, seed):
    clip = random_clip(available, length, stride, np.random.default_rng(seed))
    assert clip.shape == (length,)
    assert clip.min() >= 0
    assert clip.max() < available
    # Around the end the first frame follows the last.
    assert np.all((np.diff(clip) - stride) % available == 0)
    if fits(available, length, stride):
        assert np.all(np.diff(clip) == stride)


@given(AVAILABLE, LENGTH, STRIDE, st.integers(1, 30))
def test_even_clips_are_valid_and_evenly_spaced(available, length, stride, clips):
    many = even_clips(np.arange(available), length, stride, clips)
    assert many.shape == (clips, length)
    assert many.min() >= 0
    assert many.max() < available
    assert np.all((np.diff(many, axis=1) - stride) % available == 0)
    if fits(available, length, stride):
        assert np.all(np.diff(many, axis=1) == stride)


@given(AVAILABLE, LENGTH, STRIDE, st.integers(2, 30))
def test_even_clips_reach_both_ends_at_equal_distances(available, length, stride, clips):
    many = even_clips(np.arange(available), length, stride, clips)
    if not fits(available, length, stride):
        assert np.all(many == many[0])
        return
    assert many[0, 0] == 0
    assert many[-1, -1] == available - 1
    gaps = np.diff(many[:, 0])
    assert gaps.max() - gaps.min() <= 1


@given(AVAILABLE, LENGTH, STRIDE)
def test_a_single_clip_is_the_middle_one(available, length, stride):
    (clip,) = even_clips(np.arange(available), length, stride, 1)
    if fits(available, length, stride):
        before, after = clip[0], available - 1 - clip[-1]
        assert abs(before - after) <= 1


def test_a_short_video_is_looped():
    expected = [0, 1, 2, 0, 1, 2, 0]
    assert random_clip(3, 7, 1, np.random.default_rng(0)).tolist() == expected
    assert even_clips(np.arange(3), 7, 1, 2).tolist() == [expected] * 2
    assert even_clips(np.arange(5), 4, 2, 1).tolist() == [[0, 2, 4, 1]]
    assert even_clips(np.arange(1), 4, 3, 1).tolist() == [[0, 0, 0, 0]]


def test_random_starts_are_uniform_over_all_that_fit():
    rng = np.random.default_rng(5)
    starts = [random_clip(19, 4, 2, rng)[0] for _ in range(6500)]
    counts = np.bincount(starts, minlength=13)
    assert len(counts) == 13  # 19 − (3 · 2 + 1) + 1
    # Chi-square with 12 degrees of freedom: above 39.1 once in ten thousand.
    assert ((counts - 500) ** 2 / 500).sum() < 39.1


@pytest.mark.parametrize("numbers", [(0, 1, 1), (5, 0, 1), (5, 1, 0), (-1, 1, 1)])
def test_an_impossible_clip_is_refused(numbers):
    with pytest.raises(ValueError, match="no clip"):
        random_clip(*numbers, np.random.default_rng(0))
    available, length, stride = numbers
    with pytest.raises(ValueError, match="no clip"):
        even_clips(np.arange(available), length, stride, 3)


@given(AVAILABLE, LENGTH, STRIDE, st.integers(1, 12), st.integers(0, 99))
def test_each_segment_has_a_clip_of_its_own_part(available, length, stride, segments, seed):
    rng = np.random.default_rng(seed)
    clips = random_clips(np.arange(available), length, stride, segments, rng)
    assert clips.shape == (segments, length)
    assert clips.min() >= 0
    assert clips.max() < available
    starts = available - (length - 1) * stride  # how many there are
    if starts >= segments:
        for number, start in enumerate(clips[:, 0]):
            assert number * starts // segments <= start < (number + 1) * starts // segments


def test_in_a_segment_every_start_is_as_likely():
    rng = np.random.default_rng(1)
    seconds = [random_clips(np.arange(23), 4, 1, 2, rng)[1, 0] for _ in range(3000)]
    counts = np.bincount(seconds, minlength=20)
    assert counts[:10].sum() == 0
    # Chi-square with 9 degrees of freedom: above 33.7 once in ten thousand.
    assert ((counts[10:] - 300) ** 2 / 300).sum() < 33.7


def nearest(times, wanted):
    """The slow way, with the earlier of two frames that are as near."""
    return [int(np.abs(times - time).argmin()) for time in wanted]


RISING = st.lists(st.floats(0.005, 0.2), min_size=2, max_size=120).map(np.cumsum)


@given(RISING, st.integers(1, 20), st.floats(1, 60), st.integers(0, 99))
def test_at_a_frame_rate_each_frame_is_the_nearest_to_its_time(times, length, fps, seed):
    (clip,) = random_clips(times, length, 1 / fps, 1, np.random.default_rng(seed))
    assert 0 <= clip.min() <= clip.max() < len(times)
    wanted = times[clip[0]] + np.arange(length) / fps
    if wanted[-1] < times[-1]:
        found, expected = (
            np.abs(times[clip] - wanted),
            np.abs(times[nearest(times, wanted)] - wanted),
        )
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_clips_last_as_long_whatever_the_rate_of_the_video():
    for rate in (15, 25, 29.97, 60):
        times = np.arange(int(8 * rate)) / rate
        for clip in even_clips(times, 16, 1 / 5, 4):
            lasts = times[clip[-1]] - times[clip[0]]
            assert abs(lasts - 3) <= 1 / rate


def test_a_rate_above_the_video_s_repeats_frames():
    (clip,) = even_clips(np.arange(4) / 10, 7, 1 / 20, 1)
    assert clip.tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_a_video_shorter_than_a_clip_in_seconds_is_looped():
    (clip,) = even_clips(np.arange(4) / 10, 6, 1 / 10, 1)
    assert clip.tolist() == [0, 1, 2, 3, 0, 1]
