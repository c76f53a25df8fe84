"""What the two forms of TV-L1 for a batch share, piece by piece, against OpenCV and NumPy."""

import itertools

import cv2
import made_videos as made
import numpy as np
import pytest
import torch

from flowcache.algorithms import _images, tvl1
from flowcache.algorithms import _tvl1_batched as batched
from flowcache.algorithms._tvl1_options import PROFILES, WIDEST_EDGE, Options

pytestmark = pytest.mark.usefixtures("one_opencv_thread")
every_profile = pytest.mark.parametrize("profile", PROFILES)
every_shape = pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (1, 37), (29, 1), (3, 3), (16, 17), (31, 50), (64, 48)], ids=str
)


def noise(*shape, seed=0):
    """Gray levels with nothing smooth about them, float32."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def of_each(function, images):
    return np.stack([function(image) for image in images])


# Pyramids


@every_shape
@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.8, 2.0, 3.3])
def test_a_blur_is_opencvs(shape, sigma):
    images = noise(3, *shape)
    expected = of_each(
        lambda i: cv2.GaussianBlur(i, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), images
    )
    ours = batched.blurred(torch.from_numpy(images), sigma).numpy()
    np.testing.assert_allclose(ours, expected.reshape(images.shape), atol=1e-4)


@pytest.mark.parametrize("shape", [(16, 17), (7, 50), (64, 48), (101, 8), (90, 122)], ids=str)
@pytest.mark.parametrize("scale", [0.3, 0.5, 0.7, 0.75, 0.8, 0.9])
def test_an_image_made_smaller_by_a_factor_is_opencvs(shape, scale):
    images = noise(2, *shape)
    height, width = (round(scale * side) for side in shape)
    expected = of_each(lambda i: cv2.resize(i, None, fx=scale, fy=scale), images)
    assert expected.shape[1:] == (height, width)
    ours = _images.resized(torch.from_numpy(images), height, width, scale).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-3)


@every_shape
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 40), (33, 23), (128, 96)], ids=str)
def test_flow_brought_to_a_size_is_opencvs(shape, size):
    flow = noise(2, 2, *shape)
    height, width = size
    expected = [of_each(lambda i: cv2.resize(i, (width, height)), pair) for pair in flow]
    ours = _images.resized(torch.from_numpy(flow), height, width).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-3)


@every_shape
def test_an_image_that_keeps_its_size_stays_as_it_is(shape):
    images = noise(2, *shape)
    ours = _images.resized(torch.from_numpy(images), *shape).numpy()
    np.testing.assert_array_equal(ours, images)


@pytest.mark.parametrize("scale_step", [0.5, 0.6, 0.7, 0.75, 0.8, 0.95])
def test_the_sizes_of_a_pyramid_are_those_that_opencv_makes(scale_step):
    options = tvl1.create(profile="opencv", nscales=100, scale_step=scale_step)
    # Every side up to 80, some of them together with a longer one: halves are rounded to even.
    shapes = [(n, n) for n in range(1, 80)] + [(n, 3 * n + 1) for n in range(15, 60, 7)]
    for shape in shapes:
        levels = tvl1._Solver(options, *shape).pyramid(np.zeros(shape, np.uint8))
        assert [level.shape for level in levels] == options.sizes(*shape)


@pytest.mark.parametrize("nscales", [1, 2, 3, 100])
def test_a_pyramid_has_no_more_levels_than_asked_for_and_none_under_16_pixels(nscales):
    sizes = Options(nscales=nscales, scale_step=0.5).sizes(240, 136)
    assert sizes == [(240, 136), (120, 68), (60, 34), (30, 17)][:nscales]
    assert Options(nscales=nscales).sizes(1, 1) == [(1, 1)]


@pytest.mark.parametrize(
    "given",
    # With halves a level is just not under half the frame's size, and keeps its local mean.
    [*({"profile": profile} for profile in PROFILES), {"scale_step": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("shape", [(1, 1), (17, 90), (61, 83), (120, 160)], ids=str)
def test_a_pyramid_is_that_of_the_form_for_one_core(given, shape):
    options = tvl1.create(**given)
    frames = noise(3, *shape).astype(np.uint8)
    solver = tvl1._Solver(options, *shape)
    expected = [solver.pyramid(frame) for frame in frames]
    levels = batched.pyramid(options, torch.from_numpy(frames))
    assert len(levels) == len(expected[0])
    for level, images in zip(levels, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(level.numpy(), np.stack(images), atol=2e-3)


# Derivatives


@every_shape
def test_a_gradient_of_three_points_is_opencvs(shape):
    images = noise(2, *shape)
    dx, dy = batched.gradient(torch.from_numpy(images), Options(profile="opencv").derivative)
    for ours, order in ((dx, (1, 0)), (dy, (0, 1))):
        expected = of_each(
            lambda i, order=order: cv2.Sobel(
                i, -1, *order, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE
            ),
            images,
        )
        np.testing.assert_allclose(ours.numpy(), expected.reshape(images.shape), atol=1e-4)


@every_shape
def test_a_gradient_of_five_points_is_opencvs(shape):
    images = noise(2, *shape)
    dx, dy = batched.gradient(torch.from_numpy(images), Options().derivative)
    taps = np.array([[1, -8, 0, 8, -1]], np.float32) / 12
    for ours, kernel in ((dx, taps), (dy, taps.T)):
        expected = of_each(
            lambda i, kernel=kernel: cv2.filter2D(i, -1, kernel, borderType=cv2.BORDER_REPLICATE),
            images,
        )
        np.testing.assert_allclose(ours.numpy(), expected.reshape(images.shape), atol=1e-3)


def test_a_gradient_of_five_points_is_exact_for_a_polynomial_of_fourth_degree():
    x = np.arange(20) / 10
    image = torch.from_numpy(np.outer(np.ones(7), x**4 - x**3)).float()[None]
    dx, dy = batched.gradient(image, Options().derivative)
    expected = np.broadcast_to((4 * x**3 - 3 * x**2) / 10, (7, 20))
    np.testing.assert_allclose(dx[0, :, 2:-2], expected[:, 2:-2], atol=1e-5)
    np.testing.assert_array_equal(dy, np.zeros((1, 7, 20)))


@pytest.mark.parametrize("alpha", [0.0, 0.03, 0.5])
def test_the_inverse_edge_weight_grows_with_the_gradient_up_to_a_limit(alpha):
    images = noise(2, 20, 30)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(float)
    dx = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    dy = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    expected = np.minimum(np.exp(alpha * np.hypot(dx, dy)), WIDEST_EDGE)
    ours = batched.inverse_edge_weight(Options(edge_weight=alpha), torch.from_numpy(images))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4)


# Medians


def test_the_median_of_nine_is_found_for_every_order_of_them():
    # A network of minima and maxima that is right for all zeros and ones is right for all numbers
    # (Knuth, "The Art of Computer Programming", volume 3, 5.3.4).
    network, middle = batched.median_network(3)
    for bits in itertools.product((0, 1), repeat=9):
        values = list(bits)
        for i, j in network:
            values[i], values[j] = min(values[i], values[j]), max(values[i], values[j])
        assert values[middle] == sorted(bits)[4], bits


def test_the_median_of_twenty_five_is_found_for_every_order_of_them():
    # The same, for all 2²⁵ cases: the low twenty bits together, the high five one after the other.
    network, middle = batched.median_network(5)
    low = np.arange(2**20)
    counted = np.bitwise_count(low)
    low_bits = [(low >> i & 1).astype(bool) for i in range(20)]
    for high in range(2**5):
        values = low_bits + [np.full(2**20, bool(high >> i & 1)) for i in range(5)]
        for i, j in network:
            values[i], values[j] = values[i] & values[j], values[i] | values[j]
        np.testing.assert_array_equal(values[middle], counted + high.bit_count() >= 13)


@pytest.mark.parametrize("side", [3, 5])
def test_a_median_network_finds_numpys_median_among_floats_with_ties(side):
    values = np.random.default_rng(0).integers(-9, 10, (side**2, 5000)) / 4
    expected = np.median(values, axis=0)
    network, middle = batched.median_network(side)
    for i, j in network:
        values[i], values[j] = np.minimum(values[i], values[j]), np.maximum(values[i], values[j])
    np.testing.assert_array_equal(values[middle], expected)


@pytest.mark.parametrize("side", [3, 5])
def test_each_comparison_of_a_median_network_names_the_place_of_the_smaller_value_first(side):
    # The kernels put a pair back into a tuple, in this order.
    network, middle = batched.median_network(side)
    assert all(0 <= i < j < side**2 for i, j in network)
    assert 0 <= middle < side**2


# From coarse to fine


@pytest.mark.parametrize("step", [1, 2, 3])
def test_the_pairs_are_those_within_each_stack_one_stack_after_the_other(step):
    lengths = [4, 1, 3, 2, 7]
    owners = [(stack, t) for stack, length in enumerate(lengths) for t in range(length)]
    # Each image is its own number.
    images = torch.arange(len(owners)).view(-1, 1, 1).expand(-1, 2, 3)
    first, second = _images.pairs(images, lengths, step)
    ours = [(owners[a], owners[b]) for a, b in zip(first[:, 0, 0], second[:, 0, 0], strict=True)]
    assert ours == [((s, t), (s, t + step)) for s, t in owners if t + step < lengths[s]]


def test_each_level_begins_from_the_flow_of_the_coarser_one_in_its_own_pixels():
    options = Options(nscales=3, scale_step=0.5)
    seen = []

    def level(given, image0, image1, damping, start):
        assert given is options
        assert image0.shape == image1.shape == damping.shape == (3, *start.shape[2:])
        seen.append((tuple(start.shape), start.unique().tolist()))
        return start + 1

    stacks = [torch.zeros(3, 64, 80, dtype=torch.uint8), torch.zeros(2, 64, 80, dtype=torch.uint8)]
    flow = batched.coarse_to_fine(options, stacks, 1, level)
    assert seen == [((3, 2, 16, 20), [0.0]), ((3, 2, 32, 40), [2.0]), ((3, 2, 64, 80), [6.0])]
    assert flow.shape == (3, 2, 64, 80)
    assert flow.unique().tolist() == [7.0]


@every_profile
def test_a_level_gets_the_frames_of_its_pairs_and_the_damping_of_the_first(profile):
    options = Options(profile=profile, nscales=1)
    frames = made.moving_scene(4, 30, 41, 1.0, 0.5)
    got = {}

    def level(_, image0, image1, damping, start):
        got.update(image0=image0, image1=image1, damping=damping)
        return start

    batched.coarse_to_fine(options, [torch.from_numpy(frames)], 2, level)
    (images,) = batched.pyramid(options, torch.from_numpy(frames))
    ascent = options.tau / options.theta
    expected = ascent * batched.inverse_edge_weight(options, images[:2])
    np.testing.assert_array_equal(got["image0"], images[:2])
    np.testing.assert_array_equal(got["image1"], images[2:])
    np.testing.assert_array_equal(got["damping"], expected)


def test_pictures_that_have_the_size_already_stay_as_they_are():
    images = torch.rand(2, 24, 30)
    assert torch.equal(_images.resized(images, 24, 30, 0.98), images)
