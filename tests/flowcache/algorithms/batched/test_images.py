"""Operations on batches of images, against OpenCV's on one image after the other."""

import cv2
import numpy as np
import pytest
import torch
from made_images import every_shape, noise, of_each

from flowcache.algorithms._batched import images as operations

pytestmark = pytest.mark.usefixtures("one_opencv_thread")


@pytest.mark.parametrize("shape", [(16, 17), (7, 50), (64, 48), (101, 8), (90, 122)], ids=str)
@pytest.mark.parametrize("scale", [0.3, 0.5, 0.7, 0.75, 0.8, 0.9])
def test_an_image_made_smaller_by_a_factor_is_opencvs(shape, scale):
    images = noise(2, *shape)
    height, width = (round(scale * side) for side in shape)
    expected = of_each(lambda i: cv2.resize(i, None, fx=scale, fy=scale), images)
    assert expected.shape[1:] == (height, width)
    ours = operations.resized(torch.from_numpy(images), height, width, scale).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-3)


@every_shape
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 40), (33, 23), (128, 96)], ids=str)
def test_flow_brought_to_a_size_is_opencvs(shape, size):
    flow = noise(2, 2, *shape)
    height, width = size
    expected = [of_each(lambda i: cv2.resize(i, (width, height)), pair) for pair in flow]
    ours = operations.resized(torch.from_numpy(flow), height, width).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-3)


@every_shape
def test_images_that_have_the_size_already_stay_as_they_are_whatever_the_factor(shape):
    images = torch.from_numpy(noise(2, *shape))
    for scale in (None, 0.98):
        assert torch.equal(operations.resized(images, *shape, scale), images)


@pytest.mark.parametrize("border", ["replicate", "reflect"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (2, 3), (31, 50)], ids=str)
def test_a_filter_is_opencvs(shape, border):
    images = noise(3, *shape)
    weights = [0.1, -0.2, 0.6, 0.25, 0.4]
    codes = [
        # Where a side has too few pixels to reflect, its edge is repeated.
        cv2.BORDER_REPLICATE if border == "replicate" or side <= 2 else cv2.BORDER_REFLECT_101
        for side in shape
    ]
    taps = np.array([weights], np.float32)
    expected = of_each(lambda i: cv2.filter2D(i, -1, taps, borderType=codes[1]), images)
    expected = of_each(lambda i: cv2.filter2D(i, -1, taps.T, borderType=codes[0]), expected)
    ours = operations.filtered(torch.from_numpy(images), weights, border).numpy()
    np.testing.assert_allclose(ours, expected.reshape(images.shape), atol=1e-3)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_the_weights_of_a_gaussian_are_opencvs(sigma):
    expected = cv2.getGaussianKernel(11, sigma, cv2.CV_64F)[:, 0]
    np.testing.assert_allclose(operations.gaussian(sigma, 5), expected, rtol=1e-9)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_the_pairs_are_those_within_each_stack_one_stack_after_the_other(step):
    lengths = [4, 1, 3, 2, 7]
    owners = [(stack, t) for stack, length in enumerate(lengths) for t in range(length)]
    # Each image is its own number.
    images = torch.arange(len(owners)).view(-1, 1, 1).expand(-1, 2, 3)
    first, second = operations.pairs(images, lengths, step)
    ours = [(owners[a], owners[b]) for a, b in zip(first[:, 0, 0], second[:, 0, 0], strict=True)]
    assert ours == [((s, t), (s, t + step)) for s, t in owners if t + step < lengths[s]]
