from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twostream.data.clip_spec import ClipSpec, Crops
from twostream.data.crop_and_flip import View, apply_view, fixed_views, random_view
from twostream.data.streams import STREAMS

RGB, FLOW = STREAMS["spatial"], STREAMS["temporal"]
SIDE = st.integers(1, 400)
SCALES = st.lists(st.sampled_from([1.0, 0.875, 0.75, 0.66, 0.1]), min_size=1, max_size=4)


def inside(view, height, width):
    return (
        view.top >= 0
        and view.left >= 0
        and view.top + view.height <= height
        and view.left + view.width <= width
        and min(view.height, view.width) >= 1
    )


@given(SIDE, SIDE, SIDE, st.sampled_from([0, 8, 128]), st.booleans(), st.integers(0, 99))
def test_a_random_view_is_a_square_inside_the_picture_of_the_tests_size(
    height, width, crop, resize, flip, seed
):
    spec = ClipSpec(crop=crop, resize=resize, flip=flip)
    view = random_view(height, width, spec, np.random.default_rng(seed))
    assert inside(view, height, width)
    (tested,) = fixed_views(height, width, spec, 1)
    assert view.height == view.width == tested.height
    assert flip or not view.mirrored


@given(SIDE, SIDE, SCALES, st.integers(0, 99))
def test_a_scaled_view_has_sides_of_these_shares_at_most_one_step_apart(
    height, width, scales, seed
):
    view = random_view(height, width, ClipSpec(crop=8, scales=scales), np.random.default_rng(seed))
    assert inside(view, height, width)
    sides = [max(1, round(min(height, width) * s)) for s in scales]
    pairs = {
        (sides[a], sides[b])
        for a in range(len(sides))
        for b in (a - 1, a, a + 1)
        if 0 <= b < len(sides)
    }
    assert (view.height, view.width) in pairs


@given(SIDE, SIDE, st.integers(0, 99))
def test_a_view_by_area_has_such_an_area_and_no_odd_proportion(height, width, seed):
    spec = ClipSpec(crop=8, area=(0.3, 0.6))
    view = random_view(height, width, spec, np.random.default_rng(seed))
    assert inside(view, height, width)
    if min(height, width) > 60 and max(height, width) < 1.3 * min(height, width):
        share = view.height * view.width / (height * width)
        assert 0.28 < share < 0.62
        assert 0.73 < view.width / view.height < 1.37


@given(SIDE, SIDE, SCALES, st.integers(0, 99))
def test_a_view_with_corners_lies_in_a_corner_or_in_the_centre(height, width, scales, seed):
    spec = ClipSpec(crop=8, scales=scales, corners=True)
    view = random_view(height, width, spec, np.random.default_rng(seed))
    assert inside(view, height, width)
    below, beside = height - view.top - view.height, width - view.left - view.width
    at_a_corner = 0 in (view.top, below) and 0 in (view.left, beside)
    in_the_centre = below - view.top in (0, 1) and beside - view.left in (0, 1)
    assert at_a_corner or in_the_centre


def test_each_corner_and_the_centre_are_seen_alike_often():
    rng = np.random.default_rng(0)
    spec = ClipSpec(crop=8, corners=True)
    views = [random_view(20, 30, spec, rng) for _ in range(2000)]
    places = Counter((view.top, view.left) for view in views)
    assert set(places) == {(0, 0), (0, 22), (12, 0), (12, 22), (6, 11)}
    assert all(abs(count - 400) < 4 * 18 for count in places.values())


def test_random_views_are_uniform_in_place_size_and_mirroring():
    rng = np.random.default_rng(0)
    views = [random_view(12, 15, ClipSpec(crop=8), rng) for _ in range(6000)]
    places = np.zeros((5, 8))
    for view in views:
        places[view.top, view.left] += 1
    # Chi-square with 39 degrees of freedom: above 79 once in ten thousand.
    assert ((places - 150) ** 2 / 150).sum() < 79
    assert abs(sum(v.mirrored for v in views) - 3000) < 4 * 39
    spec = ClipSpec(crop=8, scales=(1, 0.5), flip=False)
    views = [random_view(20, 30, spec, rng) for _ in range(2000)]
    sides = [view.height for view in views]
    assert set(sides) == {20, 10}
    assert abs(sides.count(10) - 1000) < 4 * 23
    # The second side is the first's, or its neighbour's where chance picks the one that there is.
    assert abs(sum(v.height != v.width for v in views) - 2000 / 3) < 4 * 22


def test_the_crop_is_the_share_of_the_picture_that_it_is_of_the_resized_one():
    # 112 of a short side of 128 are 224 of 256, and all that there is of a smaller picture.
    for resize, side in ((128, 224), (256, 112), (0, 112), (112, 256), (100, 256)):
        (view,) = fixed_views(256, 340, ClipSpec(crop=112, resize=resize), 1)
        assert view.height == view.width == side
    (view,) = fixed_views(64, 80, ClipSpec(crop=112, resize=128), 1)
    assert view.height == 56


def test_ten_crops_are_four_corners_and_the_centre_and_their_mirror_images():
    views = fixed_views(10, 14, ClipSpec(crop=6), 10)
    places = {(0, 0), (0, 8), (4, 0), (4, 8), (2, 4)}
    for mirrored in (False, True):
        own = {(v.top, v.left) for v in views if v.mirrored is mirrored}
        assert own == places
    assert len(views) == 10
    assert all((v.height, v.width) == (6, 6) for v in views)


@given(SIDE, SIDE, SIDE)
def test_one_crop_is_the_centre(height, width, size):
    (view,) = fixed_views(height, width, ClipSpec(crop=size), 1)
    assert inside(view, height, width)
    assert not view.mirrored
    assert abs(view.top - (height - view.top - view.height)) <= 1
    assert abs(view.left - (width - view.left - view.width)) <= 1


def test_three_crops_lie_along_the_longer_side_and_halfway_across_the_other():
    wide, high = (fixed_views(*size, ClipSpec(crop=6), 3) for size in ((10, 14), (14, 10)))
    assert [(v.top, v.left) for v in wide] == [(2, 0), (2, 4), (2, 8)]
    assert [(v.top, v.left) for v in high] == [(0, 2), (4, 2), (8, 2)]
    assert all((v.height, v.width, v.mirrored) == (6, 6, False) for v in wide + high)


@pytest.mark.parametrize("crops", get_args(Crops))
def test_every_number_of_crops_gives_as_many(crops):
    assert len(fixed_views(20, 30, ClipSpec(crop=10), crops)) == crops


@given(SIDE, SIDE, SIDE)
def test_fixed_views_lie_inside_any_picture(height, width, size):
    for crops in get_args(Crops):
        views = fixed_views(height, width, ClipSpec(crop=size), crops)
        assert all(inside(v, height, width) for v in views)


def test_another_number_of_crops_is_refused():
    with pytest.raises(ValueError, match="1, 3 or 10"):
        fixed_views(10, 10, ClipSpec(crop=5), 5)


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
        view = random_view(12, 17, ClipSpec(crop=8, scales=scales, flip=flip), rng)
        out, gain = apply_view(clip, view, 8, stream)
        assert out.shape == (4, stream.channels, 8, 8)
        assert gain.shape == (stream.channels,)
        assert np.all(out == out[0])
