"""Each kernel of TV-L1 by itself, against OpenCV, PyTorch and plain Python; see `triton_child`."""

import itertools
import json

import cv2
import numpy as np
import pytest
import torch
from triton_child import (
    BIG,
    FLAT,
    SMALL,
    filtered,
    histories,
    iterated,
    linearised,
    require_triton,
    run_python,
)

from flowcache.algorithms.tvl1 import torch as in_pytorch
from flowcache.algorithms.tvl1.options import Options

pytestmark = pytest.mark.usefixtures("one_opencv_thread")


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (6, 2), (17, 19)], ids=str)
def test_a_median_is_opencvs_with_its_edges_repeated(child, side, shape):
    u = np.random.default_rng(side).normal(0, 3, (2, 2, *shape)).astype(np.float32)
    theirs = [[cv2.medianBlur(c, side).reshape(shape) for c in pair] for pair in u]
    np.testing.assert_array_equal(child(filtered, u, side), theirs)


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (13, 1), (17, 25)], ids=str)
@pytest.mark.parametrize("far", [0.5, 5, 1e6])
def test_an_image_is_sampled_as_pytorch_does_also_far_outside(child, shape, far):
    random = np.random.default_rng(0)
    image0 = random.integers(0, 256, (2, *shape)).astype(np.float32)
    moving = random.normal(0, 50, (2, 3, *shape)).astype(np.float32)
    u = random.normal(0, far, (2, 2, *shape)).astype(np.float32)
    rho, grad = in_pytorch.linearised(*(torch.from_numpy(a) for a in (image0, moving, u)))
    ours = child(linearised, image0, moving, u)
    np.testing.assert_allclose(ours[:, 1:], grad, atol=0.02)
    np.testing.assert_allclose(ours[:, 0], rho, atol=0.02 * max(far, 1))


@pytest.mark.parametrize("tested", [False, True])
@pytest.mark.parametrize(
    ("shape", "tile", "count"),
    [
        ((1, 1), BIG, 4),
        ((40, 70), BIG, 4),
        ((24, 56), BIG, 3),  # just one tile
        ((25, 57), BIG, 1),  # and one pixel more each way
        ((30, 31), SMALL, 2),
        ((9, 49), FLAT, 4),
    ],
    ids=str,
)
def test_iterations_on_tiles_are_those_on_whole_fields(child, shape, tile, count, tested):
    random = np.random.default_rng(0)
    linear = random.normal(0, 10, (2, 3, *shape)).astype(np.float32)
    linear[:, 1:, ::3, ::4] = 0  # as where the image is even
    damping = random.uniform(0.5, 5, (2, *shape)).astype(np.float32)
    u = random.normal(0, 2, (2, 2, *shape)).astype(np.float32)
    p = random.uniform(-0.7, 0.7, (2, 4, *shape)).astype(np.float32)
    given = [torch.from_numpy(a) for a in (linear, damping, u, p)]
    fields, changes = [(given[2], given[3].view(2, 2, 2, *shape))], []
    once = Options(inner_iterations=1, median_filtering=1)
    for _ in range(count):
        before = fields[-1][0]
        fields.append(
            in_pytorch.relaxed(once, given[0][:, 0], given[0][:, 1:], given[1], *fields[-1])
        )
        changes.append((fields[-1][0] - before).square().sum((1, 2, 3)))
    ours = child(iterated, once, linear, damping, u, p, count, tile, tested)
    np.testing.assert_allclose(ours[0], fields[-1][0], atol=1e-4)
    np.testing.assert_allclose(ours[1], fields[-1][1].reshape(p.shape), atol=1e-4)
    if tested:
        np.testing.assert_allclose(ours[2], torch.stack(changes, 1), rtol=1e-4)


# The stop test


@pytest.mark.parametrize("median", [True, False])
@pytest.mark.parametrize("inner", [1, 4, 7])
@pytest.mark.parametrize(("tile", "tiles"), [(BIG, 1), (SMALL, 3)], ids=str)
def test_a_pair_stops_after_the_iteration_whose_update_is_small_wherever_that_is(
    child, median, inner, tile, tiles
):
    outer = 2
    places = list(itertools.product(range(outer), range(inner)))
    # One pair for each place where it can happen, and one where it never does. Before it all updates
    # are large, and after it they are as it happens.
    random = np.random.default_rng(inner)
    totals = random.choice([0.5, 2.0], (len(places) + 1, outer, inner))
    for pair, (i, n) in enumerate(places):
        totals[pair, :i] = totals[pair, i, :n] = 2
        totals[pair, i, n] = 0.5
    totals[-1] = 2

    def history(pair):
        u, p = [], []
        for i in range(outer):
            u += ["median"] * median
            for n in range(inner):
                u.append((i, n))
                p.append((i, n))
                if totals[pair, i, n] < 1:
                    return u, p
        return u, p

    done = child(histories, totals, median, tile, tiles)
    assert done == [history(pair) for pair in range(len(totals))]


# Launched for GPUs that are not here


@pytest.mark.slow
@pytest.mark.parametrize(
    "gpu",
    [
        pytest.param("cuda 80 32", id="sm_80"),
        pytest.param("cuda 90 32", id="sm_90"),
        pytest.param("hip gfx942 64", id="gfx942"),
    ],
)
def test_every_kernel_is_compiled_once_for_frames_of_all_sizes(root, tmp_path, gpu):
    require_triton()
    run = run_python(
        root, "tests/stubs/launched_kernels.py", *gpu.split(), TRITON_CACHE_DIR=str(tmp_path)
    )
    assert (run.returncode, run.stderr) == (0, "")
    said = json.loads(run.stdout)
    # Medians of 3 and of 5, and of 5 in another form for the stop test, as the iterations; and what
    # decides for it, before and after them.
    assert said["compiled"] == {"iterate": 2, "linearise": 1, "median": 3, "schedule": 2}
    assert min(said["launches"].values()) > 20
    assert said["bare"] == []
    # So much every GPU gives to a block without being asked.
    assert said["shared"] < 48 * 1024
