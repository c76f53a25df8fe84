import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twostream.data.crop_and_flip import View, apply_view, fixed_views, random_view
from twostream.data.streams import STREAMS

RGB, FLOW = STREAMS["spatial"], STREAMS["temporal"]
SIDE = st.integers(1, 400)
SCALES = st.lists(st.sampled_from([1.0, 0.875, 0.75, 0.66, 0.1]), max_size=4)


def inside(view, height, width):
    return (
        view.top >= 0
        and view.left >= 0
        and view.top + view.height <= height
        and view.left + view.width <= width
        and min(view.height, view.width) >= 1
    )


@given(SIDE, SIDE, SIDE, SCALES, st.booleans(), st.integers(0, 99))
def test_a_random_view_is_a_square_inside_the_picture(height, width, size, scales, flip, seed):
    view = random_view(height, width, size, scales, flip, np.random.default_rng(seed))
    assert inside(view, height, width)
    assert view.height == view.width
    short = min(height, width)
    sides = [max(1, round(short * s)) for s in scales] or [min(size, short)]
    assert view.height in sides
    assert flip or not view.mirrored


def test_random_views_are_uniform_in_place_size_and_mirroring():
    rng = np.random.default_rng(0)
    views = [random_view(12, 15, 8, (), True, rng) for _ in range(6000)]
    places = np.zeros((5, 8))
    for view in views:
        places[view.top, view.left] += 1
    # Chi-square with 39 degrees of freedom: above 79 once in ten thousand.
    assert ((places - 150) ** 2 / 150).sum() < 79
    assert abs(sum(v.mirrored for v in views) - 3000) < 4 * 39
    sides = [random_view(20, 30, 8, (1, 0.5), False, rng).height for _ in range(2000)]
    assert set(sides) == {20, 10}
    assert abs(sides.count(10) - 1000) < 4 * 23


def test_ten_crops_are_four_corners_and_the_centre_and_their_mirror_images():
    views = fixed_views(10, 14, 6, 10)
    places = {(0, 0), (0, 8), (4, 0), (4, 8), (2, 4)}
    for mirrored in (False, True):
        own = {(v.top, v.left) for v in views if v.mirrored is mirrored}
        assert own == places
    assert len(views) == 10
    assert all((v.height, v.width) == (6, 6) for v in views)


@given(SIDE, SIDE, SIDE)
def test_one_crop_is_the_centre(height, width, size):
    (view,) = fixed_views(height, width, size, 1)
    assert inside(view, height, width)
    assert not view.mirrored
    assert abs(view.top - (height - view.top - view.height)) <= 1
    assert abs(view.left - (width - view.left - view.width)) <= 1


@given(SIDE, SIDE, SIDE)
def test_fixed_views_lie_inside_any_picture(height, width, size):
    assert all(inside(v, height, width) for v in fixed_views(height, width, size, 10))


def test_another_number_of_crops_is_refused():
    with pytest.raises(ValueError, match="1 or 10"):
        fixed_views(10, 10, 5, 3)


def noise(stream, height=12, width=17, frames=3, dtype=None):
    dtype = dtype or (np.int8 if stream is FLOW else np.uint8)
    low, high = (-80, 81) if stream is FLOW else (0, 256)
    shape = (frames, stream.channels, height, width)
    return np.random.default_rng(0).integers(low, high, shape).astype(dtype)


@pytest.mark.parametrize("stream", [RGB, FLOW], ids=["spatial", "temporal"])
def test_a_crop_of_the_networks_size_is_cut_out_unchanged(stream):
    clip = noise(stream)
    out, gain = apply_view(clip, View(3, 5, 8, 8), 8, stream)
    np.testing.assert_array_equal(out, clip[:, :, 3:11, 5:13])
    np.testing.assert_array_equal(gain, np.ones(stream.channels))
    assert out.dtype == clip.dtype


@pytest.mark.parametrize("stream", [RGB, FLOW], ids=["spatial", "temporal"])
@pytest.mark.parametrize("side", [4, 8, 11])
def test_a_mirrored_view_is_the_plain_one_from_right_to_left(stream, side):
    clip = noise(stream)
    plain, gain = apply_view(clip, View(1, 2, side, side), 8, stream)
    mirrored, mirrored_gain = apply_view(clip, View(1, 2, side, side, True), 8, stream)
    np.testing.assert_array_equal(mirrored, plain[..., ::-1])
    np.testing.assert_array_equal(mirrored_gain / gain, stream.mirror)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_flow_keeps_its_type_and_never_clips(dtype):
    # 127 steps at twice the size are 254 steps, which int8 could not hold: the gain carries them.
    clip = np.full((2, 2, 8, 8), 127, dtype)
    out, gain = apply_view(clip, View(0, 0, 8, 8, True), 16, FLOW)
    assert out.dtype == dtype
    np.testing.assert_array_equal(
        out * gain[:, None, None], np.broadcast_to([[[-254]], [[254]]], out.shape)
    )


def test_resized_flow_grows_by_the_ratio_of_widths_and_of_heights():
    clip = np.full((1, 2, 12, 24), 10, np.int8)
    out, gain = apply_view(clip, View(0, 0, 12, 24), 36, FLOW)
    assert out.shape == (1, 2, 36, 36)
    np.testing.assert_allclose(gain, [36 / 24, 36 / 12])
    _, gain = apply_view(clip, View(2, 3, 9, 18), 3, FLOW)
    np.testing.assert_allclose(gain, [3 / 18, 3 / 9])


def test_resized_frames_keep_their_brightness():
    clip = np.full((2, 3, 12, 24), 77, np.uint8)
    for view in (View(0, 0, 12, 12), View(0, 0, 6, 6), View(1, 2, 11, 11, True)):
        out, gain = apply_view(clip, view, 8, RGB)
        np.testing.assert_array_equal(out, np.full((2, 3, 8, 8), 77))
        np.testing.assert_array_equal(gain, np.ones(3))


def test_half_the_size_is_the_mean_of_two_by_two():
    clip = noise(FLOW, 12, 12)
    out, _ = apply_view(clip, View(0, 0, 12, 12), 6, FLOW)
    means = clip.astype(float).reshape(3, 2, 6, 2, 6, 2).mean((3, 5))
    assert np.abs(out - means).max() <= 0.5
    assert np.abs((out - means).mean()) < 0.05  # rounded, not cut off


def test_twice_the_size_follows_a_slope():
    ramp = np.broadcast_to(np.arange(-40, 40, 8)[None, None, None, :], (1, 2, 10, 10))
    out, _ = apply_view(ramp.astype(np.int8), View(0, 0, 10, 10), 20, FLOW)
    x = (np.arange(20) + 0.5) / 2 - 0.5  # pixel centres
    np.testing.assert_allclose(out[0, 0, 7, 1:-1], (-40 + 8 * x)[1:-1], atol=0.5)


@given(st.integers(0, 99), st.booleans(), st.sampled_from([(), (1.0, 0.75, 0.5)]))
def test_every_frame_of_a_clip_is_seen_alike(seed, flip, scales):
    rng = np.random.default_rng(seed)
    for stream in (RGB, FLOW):
        clip = np.repeat(noise(stream, frames=1), 4, axis=0)
        view = random_view(12, 17, 8, scales, flip, rng)
        out, gain = apply_view(clip, view, 8, stream)
        assert out.shape == (4, stream.channels, 8, 8)
        assert gain.shape == (stream.channels,)
        assert np.all(out == out[0])
