"""TV-L1 in PyTorch, on the processor: against the backend for one core, OpenCV, and known motion."""

import dataclasses

import cv2
import made_videos as made
import middlebury
import numpy as np
import pytest
import torch
import tvl1_oracle

from flowcache.algorithms import tvl1_opencv
from flowcache.algorithms.tvl1 import cpu
from flowcache.algorithms.tvl1 import torch as batched
from flowcache.algorithms.tvl1.options import PROFILES, Options

pytestmark = pytest.mark.usefixtures("one_opencv_thread")
every_profile = pytest.mark.parametrize("profile", PROFILES)
SCENES = ["RubberWhale", "Grove2", "Urban2", "Venus"]
# Quick and yet with every step of the method, several levels, warps and medians.
SHORT = {"warps": 2, "inner_iterations": 6, "outer_iterations": 2, "nscales": 2}


def flow(gray, **options):
    """(T − 1, 2, H, W), computed on the processor also where there is a GPU."""
    return batched.create(**options).flow_on("cpu", gray).data


def solve(stacks, step=1, **options):
    with torch.inference_mode():
        tensors = [torch.from_numpy(stack) for stack in stacks]
        return batched.create(**options).solve(tensors, step).numpy()


def agreement(first, second):
    """The share of pixels where two fields are within a tenth of a pixel of each other."""
    return (np.hypot(*(first - second)) < 0.1).mean()


def part_of(data, scene):
    return np.ascontiguousarray(middlebury.frames(data, scene)[:, 100:260, 120:310])


# The backend for one core, and OpenCV's


def wanted(scene, profile):
    """The share of a part of a scene where the flow has to be that of the backend for one core."""
    # Parts of all but RubberWhale have regions that leave the picture or are covered. Nothing there
    # says what the flow is, and rounding decides it: the backend for one core agrees with itself on
    # 98.4 % of Venus's part when θ is a millionth larger.
    return 0.99 if scene == "RubberWhale" or profile == "fast" else 0.98


@every_profile
@pytest.mark.parametrize("scene", ["RubberWhale", pytest.param("Venus", marks=pytest.mark.slow)])
def test_the_flow_is_that_of_the_backend_for_one_core_nearly_everywhere(data, scene, profile):
    gray = part_of(data, scene)
    expected = cpu.create(profile=profile)(gray).data[0]
    assert agreement(flow(gray, profile=profile)[0], expected) > wanted(scene, profile)


@pytest.mark.parametrize("scene", ["RubberWhale", pytest.param("Venus", marks=pytest.mark.slow)])
def test_with_opencvs_profile_the_flow_is_opencvs_nearly_everywhere(data, scene):
    gray = part_of(data, scene)
    expected = tvl1_opencv.create()(gray).data[0]
    assert agreement(flow(gray, profile="opencv")[0], expected) > wanted(scene, "opencv")


@pytest.mark.parametrize(
    ("scene", "profile"),
    [
        pytest.param(s, p, marks=[] if (s, p) == ("Venus", "accurate") else [pytest.mark.slow])
        for s in SCENES
        for p in ("accurate", "opencv")
    ],
)
def test_it_differs_by_no_more_than_a_change_of_theta_by_a_millionth_makes(data, scene, profile):
    gray = part_of(data, scene)
    algorithm = cpu.create(profile=profile)
    plain = algorithm(gray).data[0]
    disturbed = dataclasses.replace(algorithm, theta=algorithm.theta * (1 + 1e-6))(gray).data[0]
    differing = 1 - agreement(flow(gray, profile=profile)[0], plain)
    assert differing < 2 * (1 - agreement(disturbed, plain)) + 0.002


@pytest.mark.slow
@every_profile
@pytest.mark.parametrize("scene", SCENES)
def test_middlebury(data, scene, profile):
    gray = middlebury.frames(data, scene)
    truth, known = middlebury.truth(data, scene)
    ours, single = flow(gray, profile=profile)[0], cpu.create(profile=profile)(gray).data[0]
    # With OpenCV's profile the motion of Urban2, of up to 20 pixels, is beyond the pyramid. What is
    # found instead depends on rounding: measured are 96.1 to 96.3 %, and OpenCV without its own vector
    # code agrees with itself on 93.06 %.
    share = 0.95 if (scene, profile) == ("Urban2", "opencv") else 0.99
    assert agreement(ours, single) > share
    errors = [np.hypot(*(field - truth))[known].mean() for field in (ours, single)]
    assert errors[0] == pytest.approx(errors[1], rel=0.01)
    if profile == "opencv":
        assert agreement(ours, tvl1_opencv.create()(gray).data[0]) > share


# The plain version


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "fast"},
        {"profile": "accurate", "warps": 2, "inner_iterations": 9},
        {"profile": "accurate", "warps": 1, "inner_iterations": 7, "outer_iterations": 2},
        {"inner_iterations": 9, "warps": 2, "median_filtering": 1, "coarse_texture": 0.5},
        {"profile": "opencv", "warps": 2, "nscales": 3},
        {"profile": "opencv", "warps": 2, "nscales": 2, "epsilon": 0.05, "median_filtering": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(33, 64), (57, 31)], ids=str)
def test_it_computes_what_the_plain_version_does(options, shape):
    gray = made.moving_scene(2, *shape, 1.3, -0.6, 2)
    gray[1, 10:20, 12:30] = gray[0, 10:20, 12:30]  # something that moves otherwise
    values = dataclasses.asdict(Options(**options))
    del values["profile"], values["exact"]
    difference = np.hypot(*(flow(gray, **options)[0] - tvl1_oracle.tvl1(*gray, **values)))
    # One works in single precision and the other in double, and each threshold amplifies that.
    assert np.quantile(difference, 0.95) < 5e-3
    assert np.median(difference) < 1e-4


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (6, 2), (23, 31)], ids=str)
def test_a_median_is_opencvs_with_its_edges_repeated(side, shape):
    u = np.random.default_rng(side).normal(0, 3, (3, 2, *shape)).astype(np.float32)
    expected = [[cv2.medianBlur(c, side).reshape(shape) for c in pair] for pair in u]
    np.testing.assert_array_equal(batched.median(torch.from_numpy(u), side), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (13, 1), (37, 52)], ids=str)
@pytest.mark.parametrize("far", [0.5, 5, 100, 1e6])
def test_an_image_is_sampled_as_the_plain_version_does_also_far_outside(shape, far):
    random = np.random.default_rng(0)
    image0 = random.integers(0, 256, (2, *shape)).astype(np.float32)
    moving = random.normal(0, 50, (2, 3, *shape)).astype(np.float32)
    u = random.normal(0, far, (2, 2, *shape)).astype(np.float32)
    rho, grad = batched.linearised(*(torch.from_numpy(a) for a in (image0, moving, u)))
    y, x = np.mgrid[: shape[0], : shape[1]]
    for i in range(2):
        warped, *nabla = (
            tvl1_oracle.warp(c, x + u[i, 0], y + u[i, 1]) for c in moving[i].astype(float)
        )
        constant = warped - (np.stack(nabla) * u[i]).sum(0) - image0[i]
        np.testing.assert_allclose(grad[i], nabla, atol=0.02)
        np.testing.assert_allclose(rho[i], constant, atol=0.02 * max(far, 1))


# Known motion

MOTIONS = {  # degrees, factor, pixels right and down
    "translation": (0, 1, 1.37, -0.81),
    "rotation": (3, 1, 0, 0),
    "zoom in": (0, 1.05, 0, 0),
    "zoom out": (0, 0.95, 0, 0),
    "all of them": (-2, 1.03, 0.6, 1.1),
}


def moving_waves(angle, zoom, dx, dy, height=96, width=112):
    """Two frames of waves that move about the middle, and the flow: nothing is interpolated."""
    random = np.random.default_rng(5)
    waves, phases = random.normal(0, 0.35, (24, 2)), random.uniform(0, 2 * np.pi, 24)
    turn = np.deg2rad(angle)
    matrix = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shift = np.array([dx, dy])[:, None]
    y, x = np.mgrid[:height, :width]
    place = np.stack([x - width / 2, y - height / 2]).reshape(2, -1)
    came_from = np.linalg.solve(matrix, place - shift)
    images = [128 + 18 * np.cos(waves @ p + phases[:, None]).sum(0) for p in (place, came_from)]
    gray = np.clip(np.rint(images), 0, 255).astype(np.uint8).reshape(2, height, width)
    return gray, (matrix @ place + shift - place).reshape(2, height, width)


@pytest.mark.parametrize(
    ("profile", "motion"),
    [
        # The backends differ little, and that for one core is asked for all of them.
        pytest.param(p, m, marks=[] if p == "fast" or m == "all of them" else [pytest.mark.slow])
        for p in PROFILES
        for m in MOTIONS
    ],
)
def test_known_motions_are_found_to_a_fraction_of_a_pixel(profile, motion):
    gray, expected = moving_waves(*MOTIONS[motion])
    error = np.hypot(*(flow(gray, profile=profile)[0] - expected))[12:-12, 12:-12]
    assert error.mean() < 0.08


@every_profile
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (15, 40), (50, 70)], ids=str)
def test_what_does_not_move_has_no_flow(profile, shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    still = flow(np.stack([image, image]), profile=profile)
    np.testing.assert_array_equal(still, np.zeros((1, 2, *shape)))


@every_profile
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(shape, marks=[pytest.mark.slow] if min(shape) > 100 else [])
        for shape in made.ODD_SIZES
    ],
    ids=str,
)
def test_every_size_and_content_gives_finite_flow_of_bounded_length(profile, shape):
    pairs = [made.hard_case(kind, *shape) for kind in made.HARD_CASES]
    found = solve(pairs, profile=profile)  # none depends on the others, as is seen below
    assert found.shape == (len(pairs), 2, *shape)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 3 * max(shape) + 50


# Batches


def mixed_pairs(shape=(34, 45)):
    """Pairs that converge at very different times."""
    still, slow, fast = (
        made.moving_scene(2, *shape, *motion, seed)
        for seed, motion in enumerate([(0, 0), (0.2, 0.1), (3, -2)])
    )
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.uint8)
    black = np.zeros((2, *shape), np.uint8)
    return [still, slow, fast, noise, black]


BATCHED = [
    {"profile": "fast"},
    {"profile": "accurate", **SHORT},
    {"profile": "opencv", "warps": 2, "outer_iterations": 2, "nscales": 2},
    {"profile": "opencv", "epsilon": 0.1, "inner_iterations": 7},
]


@pytest.mark.parametrize("options", BATCHED, ids=str)
def test_a_field_does_not_depend_on_the_other_pairs_of_its_batch_nor_on_their_order(options):
    pairs = mixed_pairs()
    alone = np.concatenate([solve([pair], **options) for pair in pairs])
    np.testing.assert_array_equal(solve(pairs, **options), alone)
    for order in ([4, 2, 0, 3, 1], [3, 3, 1]):
        np.testing.assert_array_equal(solve([pairs[i] for i in order], **options), alone[order])


@pytest.mark.parametrize("options", BATCHED, ids=str)
@pytest.mark.parametrize("step", [1, 3])
def test_stacks_have_the_flow_of_their_pairs_by_themselves(options, step):
    lengths = [5, 1, 4, 2]
    stacks = [
        made.moving_scene(n, 26, 33, 0.8, -0.4, seed).astype(np.uint8)
        for seed, n in enumerate(lengths)
    ]
    singly = [
        solve([np.stack([stack[t], stack[t + step]])], **options)
        for stack in stacks
        for t in range(len(stack) - step)
    ]
    assert len(singly) == sum(max(n - step, 0) for n in lengths)
    np.testing.assert_array_equal(solve(stacks, step, **options), np.concatenate(singly))


def test_a_call_is_a_batch_of_one_stack():
    gray = made.moving_scene(4, 30, 40, 1.1, 0.3)
    result = batched.create(**SHORT).flow_on("cpu", gray)
    assert result.data.dtype == np.float32
    np.testing.assert_array_equal(result.data, solve([gray], **SHORT))


# The stop test


def test_the_iterations_end_where_the_update_falls_under_the_threshold():
    gray = made.moving_scene(2, 48, 64, 0.5, 0.2, 0)
    flows = [
        flow(gray, nscales=1, warps=1, inner_iterations=n, epsilon=0.01) for n in (1, 2, 100, 200)
    ]
    assert not np.array_equal(flows[0], flows[1])
    np.testing.assert_array_equal(flows[2], flows[3])


@pytest.mark.parametrize("iterations", [1, 4, 9])
def test_a_threshold_that_is_not_reached_has_all_iterations_done(iterations):
    gray = np.random.default_rng(1).integers(0, 256, (2, 30, 41)).astype(np.uint8)
    options = SHORT | {"inner_iterations": iterations}
    np.testing.assert_array_equal(flow(gray, **options, epsilon=1e-9), flow(gray, **options))


@pytest.mark.parametrize("epsilon", [0.02, 0.1, 0.5])
def test_each_pair_of_a_batch_stops_where_it_does_on_one_core(epsilon):
    # With a single median, one iteration more or less makes more than rounding does.
    options = {"profile": "opencv", "nscales": 1, "warps": 1, "epsilon": epsilon}
    options |= {"inner_iterations": 60, "outer_iterations": 1}
    pairs = mixed_pairs()
    expected = np.concatenate([cpu.create(**options)(pair).data for pair in pairs])
    difference = np.abs(solve(pairs, **options) - expected)
    assert np.quantile(difference, 0.95, axis=(1, 2, 3)).max() < 1e-3
