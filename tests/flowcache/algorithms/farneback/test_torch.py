"""Farnebäck's method in PyTorch, on the CPU: against OpenCV's."""

import middlebury
import numpy as np
import pytest
import torch
from made_videos import moving_scene

from flowcache import algorithms
from flowcache.algorithms.farneback.torch import devices

pytestmark = pytest.mark.usefixtures("one_opencv_thread")


def distance_to_opencv(gray, **options):
    """Of each vector, pixels."""
    ours, theirs = (
        algorithms.create("farneback", backend, **options)(gray).data[0]
        for backend in ("torch", "cpu")
    )
    return np.hypot(*(ours - theirs))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"levels": 0},
        {"levels": 1, "pyr_scale": 0.7},
        {"gaussian": True},
        {"winsize": 6, "iterations": 3},
        {"winsize": 21, "gaussian": True, "iterations": 2},
        {"poly_n": 7, "poly_sigma": 1.5},
        {"iterations": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(96, 72), (33, 80)], ids=str)
def test_the_flow_is_opencvs_but_for_rounding(options, shape):
    gray = moving_scene(2, *shape, 2.3, -1.1, 4)
    gray[1, 10:25, 12:40] = gray[0, 10:25, 12:40]  # something that moves otherwise
    distance = distance_to_opencv(gray, **options)
    assert (distance < 0.1).mean() > 0.999
    assert np.median(distance) < 1e-4


def test_opencvs_flow_on_a_part_of_middlebury(data):
    gray = np.ascontiguousarray(middlebury.frames(data, "Urban2")[:, 100:260, 120:310])
    assert (distance_to_opencv(gray) < 0.1).mean() > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["RubberWhale", "Grove2", "Urban2", "Venus"])
def test_opencvs_flow_on_middlebury(data, scene):
    assert (distance_to_opencv(middlebury.frames(data, scene)) < 0.1).mean() > 0.999


@pytest.mark.gpu
@pytest.mark.parametrize("scene", ["RubberWhale", "Grove2", "Urban2", "Venus"])
def test_on_a_card_it_is_the_same(data, scene):
    gray = middlebury.frames(data, scene)
    assert devices()[0] == "cuda:0"
    assert (distance_to_opencv(gray) < 0.1).mean() > 0.999


@pytest.mark.parametrize("shape", [(10, 10), (12, 40), (31, 31), (2, 30), (30, 2)], ids=str)
def test_frames_smaller_than_its_windows_have_opencvs_flow_too(shape):
    gray = np.random.default_rng(1).integers(0, 256, (2, *shape)).astype(np.uint8)
    assert (distance_to_opencv(gray) < 0.1).mean() > 0.95


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 3), (40, 56)], ids=str)
@pytest.mark.parametrize("value", [0, 255])
def test_without_texture_there_is_no_flow(shape, value):
    gray = np.full((2, *shape), value, np.uint8)
    assert np.abs(algorithms.create("farneback", "torch")(gray).data).max() < 1e-3


@pytest.mark.parametrize("step", [1, 3])
def test_a_field_does_not_depend_on_what_it_is_computed_with(step):
    algorithm = algorithms.create("farneback", "torch", iterations=2)
    stacks = [
        torch.from_numpy(moving_scene(count, 48, 56, 1.3, -0.4 * count, count))
        for count in (4, 1, 7, 2)
    ]
    together = algorithm.solve(stacks, step).numpy()
    alone = [
        algorithm(np.stack([stack[t], stack[t + step]])).data[0]
        for stack in stacks
        for t in range(len(stack) - step)
    ]
    np.testing.assert_array_equal(together, np.stack(alone))
