"""What holds for every algorithm and every backend of it."""

import pickle
from functools import cache

import cv2
import made_videos as made
import numpy as np
import pytest
from every_backend import ABLE, UNABLE, every_able_backend

from flowcache import algorithms, plugins
from flowcache.algorithms import create
from flowcache.errors import UserError
from flowcache.types import FlowStack

pytestmark = pytest.mark.usefixtures("one_opencv_thread")
INNER = np.s_[..., 14:-14, 14:-14]
HEIGHT, WIDTH = 72, 88


def pair(dx, dy, seed=0, height=HEIGHT, width=WIDTH):
    return made.moving_scene(2, height, width, dx, dy, seed)


def turned_pair():
    """A texture, and the same turned by 2° about a point off the middle: no symmetry to hide in."""
    first = made.scene(HEIGHT, WIDTH, seed=3).astype(np.float32)
    matrix = cv2.getRotationMatrix2D((30, 40), 2, 1)
    second = cv2.warpAffine(first, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=1)
    return np.clip(np.rint(np.stack([first, second])), 0, 255).astype(np.uint8)


@every_able_backend
@pytest.mark.parametrize("count", [1, 2, 4])
def test_frames_give_one_field_fewer_each_between_neighbours(name, backend, count):
    height, width = 40, 56
    pairs = [pair(*motion, seed, height, width) for seed, motion in enumerate([(1, 2), (-1, 0)])]
    gray = np.concatenate([*pairs, pairs[0]])[:count]
    flow = create(name, backend)(gray)
    assert isinstance(flow, FlowStack)
    assert flow.data.shape == (count - 1, 2, height, width)
    for t in range(count - 1):
        np.testing.assert_array_equal(flow.data[t], create(name, backend)(gray[t : t + 2]).data[0])


@every_able_backend
@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, -1), (0.4, 0.3), (-2.5, 1.6)])
def test_a_translation_is_found_to_a_fraction_of_a_pixel_x_right_and_y_down(name, backend, dx, dy):
    flow = create(name, backend)(pair(dx, dy)).data[0][INNER]
    error = np.hypot(flow[0] - dx, flow[1] - dy)
    assert error.mean() < 0.1
    np.testing.assert_allclose(flow.mean((1, 2)), [dx, dy], atol=0.06)


@every_able_backend
def test_the_flow_leads_from_a_point_in_one_frame_to_itself_in_the_next(name, backend):
    first, second = turned_pair()
    dx, dy = create(name, backend)(np.stack([first, second])).data[0]
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    back = cv2.remap(second, x + dx, y + dy, cv2.INTER_LINEAR).astype(float)
    before = np.abs(second.astype(float) - first)[INNER].mean()
    assert np.abs(back - first)[INNER].mean() < 0.15 * before


@every_able_backend
@pytest.mark.parametrize("axis", [2, 1], ids=["mirrored", "upside down"])
def test_the_flow_of_mirrored_frames_is_the_mirrored_flow_with_one_sign_changed(
    name, backend, axis
):
    gray = turned_pair()
    plain = create(name, backend)(gray).data
    mirrored = create(name, backend)(np.ascontiguousarray(np.flip(gray, axis))).data
    expected = np.flip(plain, axis + 1).copy()
    expected[:, 0 if axis == 2 else 1] *= -1
    error = np.hypot(*(mirrored - expected)[0][INNER])
    assert error.mean() < 0.08
    unsigned = np.flip(plain, axis + 1)
    assert np.hypot(*(mirrored - unsigned)[0][INNER]).mean() > 0.5


@every_able_backend
def test_where_nothing_moves_the_flow_is_zero(name, backend):
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    edge = np.broadcast_to(np.where(np.arange(WIDTH) < 40, 0, 255), (HEIGHT, WIDTH))
    black, white = np.zeros((HEIGHT, WIDTH)), np.full((HEIGHT, WIDTH), 255)
    for image in (pair(0, 0)[0], noise, edge, black, white):
        flow = create(name, backend)(np.stack([image, image]).astype(np.uint8)).data
        # The polynomial expansion is disturbed a little by the borders, whatever moves.
        assert np.abs(flow).mean() < 0.02
        assert np.abs(flow).max() < 0.3


@every_able_backend
def test_the_same_frames_give_the_same_flow_whatever_came_before(name, backend):
    algorithm = create(name, backend)
    first = algorithm(pair(1.5, 0.5)).data
    algorithm(pair(-3, 2, seed=5, height=40, width=48))
    np.testing.assert_array_equal(algorithm(pair(1.5, 0.5)).data, first)


@every_able_backend
def test_the_frames_are_left_as_they_were_and_need_not_lie_in_one_piece(name, backend):
    gray = made.moving_scene(4, HEIGHT, WIDTH, 1, 0)
    before = gray.copy()
    scattered = np.asfortranarray(gray)[::2]
    flow = create(name, backend)(scattered).data
    np.testing.assert_array_equal(gray, before)
    np.testing.assert_array_equal(flow, create(name, backend)(gray[::2].copy()).data)


@every_able_backend
def test_what_is_no_stack_of_gray_frames_is_refused(name, backend):
    for shape, dtype in (
        ((2, 64, 64), np.float32),
        ((2, 64, 64), np.int16),
        ((64, 64), np.uint8),
        ((2, 64, 64, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"uint8 \(T, H, W\)"):
            create(name, backend)(np.zeros(shape, dtype))


# Options


@every_able_backend
def test_what_was_pickled_gives_the_same_flow(name, backend):
    algorithm = create(name, backend)
    algorithm(pair(1, 0))  # whatever it keeps from this must not hinder it
    again = pickle.loads(pickle.dumps(algorithm))
    assert again == algorithm
    np.testing.assert_array_equal(again(pair(1, 0)).data, algorithm(pair(1, 0)).data)


@pytest.mark.parametrize(("name", "backend"), UNABLE)
def test_one_that_cannot_run_here_says_so_in_one_sentence(name, backend):
    with pytest.raises(UserError, match=f"^{name}'s backend {backend} needs ") as caught:
        create(name, backend)(pair(1, 0))
    assert "\n" not in str(caught.value)
    assert caught.value.parameter == "backend"


@every_able_backend
def test_its_version_names_what_runs(name, backend):
    version = create(name, backend).version
    assert isinstance(version, str)
    assert version


# What makes the flow quick, where that is worth while.
BRIEFLY = {
    "tvl1": {"inner_iterations": 10},
    "tvl1_opencv": {"warps": 2, "inner_iterations": 10, "outer_iterations": 2},
}
# Other values than twice the default.
OTHER = {
    ("farneback", "pyr_scale"): 0.8,
    ("farneback", "poly_n"): 7,
    ("farneback", "levels"): 0,
    ("farneback", "iterations"): 1,
    ("tvl1", "profile"): "accurate",
    ("tvl1", "median_filtering"): 3,
    ("tvl1", "nscales"): 1,
    ("tvl1", "scale_step"): 0.5,
    ("tvl1", "epsilon"): 0.1,
    ("tvl1_opencv", "median_filtering"): 3,
    ("tvl1_opencv", "nscales"): 1,
    ("tvl1_opencv", "scale_step"): 0.5,
    ("tvl1_opencv", "gamma"): 0.5,
    ("tvl1_opencv", "epsilon"): 0.1,
    ("dis", "gradient_descent_iterations"): 2,
    ("dis", "patch_size"): 12,
}
OPTIONS = [
    (name, backend, option)
    for name, backend in ABLE
    for option in plugins.public_options(create(name, backend))
    if (backend, option) != ("torch", "exact")  # which is for the processor's backend alone
]


@cache
def changing_light():
    gray = made.moving_scene(2, HEIGHT, WIDTH, 4.5, -3.0, 4)
    gray[1] = np.clip(gray[1] * 0.9 + np.random.default_rng(1).normal(8, 6, gray[1].shape), 0, 255)
    return gray


@cache
def briefly(name, backend):
    """An algorithm, and its flow."""
    algorithm = create(name, backend, **BRIEFLY.get(name, {}))
    return algorithm, algorithm(changing_light()).data


@pytest.mark.parametrize(("name", "backend", "option"), OPTIONS)
def test_each_option_is_recorded_and_changes_the_flow(name, backend, option):
    algorithm, flow = briefly(name, backend)
    value = plugins.public_options(algorithm)[option]
    usual = not value if isinstance(value, bool) else value * 2 or 1
    other = OTHER.get((name, option), usual)
    given = BRIEFLY.get(name, {}) | {option: other}
    changed = create(name, backend, **given)
    assert plugins.public_options(changed)[option] == other
    (parsed,) = plugins.parse_options(algorithms, name, [f"{option}={other}"]).values()
    assert parsed == other
    assert type(parsed) is type(value)
    assert not np.array_equal(changed(changing_light()).data, flow)
