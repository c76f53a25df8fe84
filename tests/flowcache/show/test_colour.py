import colorsys

import numpy as np
import pytest

from flowcache.show.colour import enlarge, flow_to_color, legend, side_by_side


def color_of(dx, dy, scale=1.0):
    flow = np.array([dx, dy], np.float32).reshape(2, 1, 1)
    return tuple(int(c) for c in flow_to_color(flow, scale)[0, 0])


def hue_of(dx, dy):
    return colorsys.rgb_to_hsv(*color_of(dx, dy))[0] * 360


# The wheel has 15 hues from red to yellow, 6 to green, 4 to cyan, 11 to blue, 13 to magenta and 6 back
# to red. A direction's place is its angle's share of 54: right 0, down 13.5, left 27, up 40.5.
@pytest.mark.parametrize(
    ("direction", "degrees"),
    [
        ((1, 0), 0),
        ((0, 1), 13.5 / 15 * 60),
        ((-1, 0), 180 + (27 - 25) / 11 * 60),
        ((0, -1), 240 + (40.5 - 36) / 13 * 60),
        ((np.cos(0.5), np.sin(0.5)), 0.5 / (2 * np.pi) * 54 / 15 * 60),
    ],
)
def test_a_direction_has_the_hue_of_the_published_wheel(direction, degrees):
    assert hue_of(*direction) == pytest.approx(degrees, abs=2.5)


def test_the_wheel_has_55_hues_of_full_saturation():
    # A direction whose angle is k / 54 of the circle has hue number k; the last is just before a whole
    # turn, where the circle closes.
    angles = np.append(np.arange(54) / 54, 1 - 1e-6) * 2 * np.pi
    flow = 0.9999 * np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    wheel = flow_to_color(flow[:, None], 1.0)[0]
    assert wheel.shape == (55, 3)
    assert wheel.max(1).min() >= 254
    assert wheel.min(1).max() <= 1
    assert len(np.unique(wheel, axis=0)) == 55


def test_no_motion_is_white_and_the_sign_of_zero_does_not_matter():
    assert color_of(0, 0) == (255, 255, 255)
    assert color_of(-0.0, -0.0) == (255, 255, 255)
    assert color_of(1, 0.0) == color_of(1, -0.0) == (255, 0, 0)


def test_saturation_grows_with_length_up_to_the_scale():
    # To the right, green and blue fall linearly from white to red.
    assert color_of(2, 0, scale=8) == (255, 191, 191)
    assert color_of(4, 0, scale=8) == (255, 127, 127)
    assert color_of(8, 0, scale=8) == (255, 0, 0)


def test_beyond_the_scale_it_darkens():
    assert color_of(8.01, 0, scale=8) == (191, 0, 0)
    assert color_of(80, 0, scale=8) == (191, 0, 0)


def test_the_scale_is_a_unit():
    flow = np.random.default_rng(1).normal(size=(2, 9, 7)).astype(np.float32)
    np.testing.assert_array_equal(flow_to_color(flow, 2.0), flow_to_color(flow * 4, 8.0))


def test_unknown_flow_is_black():
    for value in (np.nan, 1.1e9, np.inf, -np.inf):
        assert color_of(value, 0) == color_of(0, value) == (0, 0, 0)
    assert color_of(9e8, 0) != (0, 0, 0)


def test_a_scale_is_above_zero():
    for scale in (0, -1, np.nan):
        with pytest.raises(ValueError, match="scale"):
            flow_to_color(np.zeros((2, 4, 4), np.float32), scale)


def test_another_shape_is_refused():
    for shape in ((4, 4, 2), (2, 4), (3, 2, 4, 4)):
        with pytest.raises(ValueError, match=r"\(2, H, W\)"):
            flow_to_color(np.zeros(shape, np.float32), 1)


@pytest.mark.parametrize("size", [40, 101])
@pytest.mark.parametrize("scale", [0.7, 12.0])
def test_the_legend_shows_the_colours_of_flow(scale, size):
    drawn = legend(scale, size)
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] == size < drawn.shape[1]
    radius, centre = size * 7 / 16, size / 2 - 0.5
    for x, y in np.random.default_rng(2).integers(0, size, (200, 2)):
        offset = np.array([x - centre, y - centre]) / radius
        if np.hypot(*offset) < 0.9:
            expected = color_of(*offset * scale, scale)
            np.testing.assert_allclose(drawn[y, x].astype(int), expected, atol=1)
        elif np.hypot(*offset) > 1.1:
            assert tuple(drawn[y, x]) == (255, 255, 255)


def test_the_legend_tells_its_scale():
    assert (legend(2.0, 60)[:, 60:] < 128).any()
    assert legend(2.0, 60).shape != legend(12.5, 60).shape


def test_side_by_side_holds_the_frame_the_flow_and_the_legend():
    rng = np.random.default_rng(3)
    rgb = rng.integers(0, 255, (241, 331, 3), np.uint8)
    flow = np.full((2, 241, 331), 1.0, np.float32)
    picture = side_by_side(rgb, flow, 2.0)
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    np.testing.assert_array_equal(picture[:241, :331], rgb)
    right = picture[:241, -331:]
    np.testing.assert_array_equal(right[:100], flow_to_color(flow, 2.0)[:100])
    key = legend(2.0, 48)
    np.testing.assert_array_equal(right[-key.shape[0] :, -key.shape[1] :], key)


@pytest.mark.parametrize("shape", [(64, 96), (17, 300), (300, 17), (1, 1)])
def test_small_and_narrow_pictures_get_larger_and_even(shape):
    picture = side_by_side(np.zeros((*shape, 3), np.uint8), np.zeros((2, *shape), np.float32), 1.0)
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    assert picture.shape[0] >= shape[0]
    assert min(picture.shape[:2]) > 120


def test_enlarged_pixels_are_squares_of_one_colour():
    picture = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    large = enlarge(picture, 4)
    assert large.shape == (8, 12, 3)
    for y, x in np.ndindex(8, 12):
        np.testing.assert_array_equal(large[y, x], picture[y // 4, x // 4])
    np.testing.assert_array_equal(enlarge(picture, 1), picture)
