"""What the two backends of TV-L1 for a batch share, piece by piece, against OpenCV and NumPy."""

import cv2
import made_videos as made
import numpy as np
import pytest
import torch
from made_images import every_shape, noise, of_each

from flowcache.algorithms.tvl1 import cpu, pyramid
from flowcache.algorithms.tvl1.options import PROFILES, WIDEST_EDGE, Options

pytestmark = pytest.mark.usefixtures("one_opencv_thread")
every_profile = pytest.mark.parametrize("profile", PROFILES)


# Pyramids


@every_shape
@pytest.mark.parametrize("sigma", [0.3, 0.5, 2.0, 3.3])
def test_a_blur_is_opencvs(shape, sigma):
    images = noise(3, *shape)
    expected = of_each(
        lambda i: cv2.GaussianBlur(i, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), images
    )
    ours = pyramid.blurred(torch.from_numpy(images), sigma).numpy()
    np.testing.assert_allclose(ours, expected.reshape(images.shape), atol=1e-4)


@pytest.fixture
def levels_on_one_core(monkeypatch):
    """The pyramids of frames (T, H, W), T > 1, as the backend for one core has them."""

    def levels(options, frames):
        seen = []

        def stop(pairs_of_images, solver):
            if not seen:
                seen.append([first for first, _ in pairs_of_images])
            seen.append([second for _, second in pairs_of_images])
            return np.zeros((2, *frames.shape[1:]), np.float32)

        monkeypatch.setattr(cpu, "coarse_to_fine", stop)
        cpu.create(**options)(frames)
        return seen

    return levels


@pytest.mark.parametrize(
    "given",
    # With halves a level is just not under half the frame's size, and keeps its local mean.
    [*({"profile": profile} for profile in PROFILES), {"scale_step": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("shape", [(1, 1), (17, 90), (61, 83), (120, 160)], ids=str)
def test_a_pyramid_is_that_of_the_backend_for_one_core(levels_on_one_core, given, shape):
    frames = noise(3, *shape).astype(np.uint8)
    expected = levels_on_one_core(given, frames)
    assert len(expected) == len(frames)
    levels = pyramid.pyramid(Options(**given), torch.from_numpy(frames))
    for level, images in zip(levels, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(level.numpy(), np.stack(images), atol=2e-3)


# Derivatives


@every_shape
def test_a_gradient_of_three_points_is_opencvs(shape):
    images = noise(2, *shape)
    dx, dy = pyramid.gradient(torch.from_numpy(images), Options(profile="opencv").derivative)
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
    dx, dy = pyramid.gradient(torch.from_numpy(images), Options().derivative)
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
    dx, dy = pyramid.gradient(image, Options().derivative)
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
    ours = pyramid.inverse_edge_weight(Options(edge_weight=alpha), torch.from_numpy(images))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4)


# From coarse to fine


def test_each_level_begins_from_the_flow_of_the_coarser_one_in_its_own_pixels():
    options = Options(nscales=3, scale_step=0.5)
    seen = []

    def level(given, image0, image1, damping, start):
        assert given is options
        assert image0.shape == image1.shape == damping.shape == (3, *start.shape[2:])
        seen.append((tuple(start.shape), start.unique().tolist()))
        return start + 1

    stacks = [torch.zeros(3, 64, 80, dtype=torch.uint8), torch.zeros(2, 64, 80, dtype=torch.uint8)]
    flow = pyramid.solve_batch(options, stacks, 1, level)
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

    pyramid.solve_batch(options, [torch.from_numpy(frames)], 2, level)
    (images,) = pyramid.pyramid(options, torch.from_numpy(frames))
    ascent = options.tau / options.theta
    expected = ascent * pyramid.inverse_edge_weight(options, images[:2])
    np.testing.assert_array_equal(got["image0"], images[:2])
    np.testing.assert_array_equal(got["image1"], images[2:])
    np.testing.assert_array_equal(got["damping"], expected)
