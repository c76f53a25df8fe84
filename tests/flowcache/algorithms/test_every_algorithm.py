import dataclasses
import os
import pickle
import subprocess
import sys

import cv2
import made_videos as made
import middlebury
import numpy as np
import pytest

from flowcache import algorithms, plugins
from flowcache.errors import UserError
from flowcache.types import FlowStack

pytestmark = pytest.mark.usefixtures("one_opencv_thread")
NAMES = plugins.names(algorithms)
MODULES = {name: plugins.module(algorithms, name) for name in NAMES}
# One that has `devices` runs on them alone, and there may be none here.
ABLE = [n for n in NAMES if not hasattr(MODULES[n], "devices") or MODULES[n].devices()]
every_algorithm = pytest.mark.parametrize("name", ABLE)
# Forms for devices import PyTorch in each process that they are tried in, which takes long.
every_algorithm_forms_slowly = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * hasattr(MODULES[n], "devices")) for n in ABLE],
)
INNER = np.s_[..., 14:-14, 14:-14]
HEIGHT, WIDTH = 72, 88


@pytest.fixture
def create():
    return lambda name, **options: plugins.create(algorithms, name, **options)


def pair(dx, dy, seed=0, height=HEIGHT, width=WIDTH):
    return made.moving_scene(2, height, width, dx, dy, seed)


def turned_pair():
    """A texture, and the same turned by 2° about a point off the middle: no symmetry to hide in."""
    first = made.scene(HEIGHT, WIDTH, seed=3).astype(np.float32)
    matrix = cv2.getRotationMatrix2D((30, 40), 2, 1)
    second = cv2.warpAffine(first, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=1)
    return np.clip(np.rint(np.stack([first, second])), 0, 255).astype(np.uint8)


@every_algorithm
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_frames_give_one_field_fewer_each_between_neighbours(create, name, count):
    height, width = 40, 56
    pairs = [pair(*motion, seed, height, width) for seed, motion in enumerate([(1, 2), (-1, 0)])]
    gray = np.concatenate([*pairs, pairs[0]])[:count]
    flow = create(name)(gray)
    assert isinstance(flow, FlowStack)
    assert flow.data.shape == (count - 1, 2, height, width)
    for t in range(count - 1):
        np.testing.assert_array_equal(flow.data[t], create(name)(gray[t : t + 2]).data[0])


@every_algorithm
@pytest.mark.parametrize(
    ("dx", "dy"), [(1, 0), (-1, 0), (0, 1), (0, -1), (0.4, 0.3), (-1.3, 0.7), (2.5, -1.6), (3, 3)]
)
def test_a_translation_is_found_to_a_fraction_of_a_pixel_x_right_and_y_down(create, name, dx, dy):
    flow = create(name)(pair(dx, dy)).data[0][INNER]
    error = np.hypot(flow[0] - dx, flow[1] - dy)
    assert error.mean() < 0.1
    np.testing.assert_allclose(flow.mean((1, 2)), [dx, dy], atol=0.06)


@every_algorithm
def test_the_flow_leads_from_a_point_in_one_frame_to_itself_in_the_next(create, name):
    first, second = turned_pair()
    dx, dy = create(name)(np.stack([first, second])).data[0]
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    back = cv2.remap(second, x + dx, y + dy, cv2.INTER_LINEAR).astype(float)
    before = np.abs(second.astype(float) - first)[INNER].mean()
    assert np.abs(back - first)[INNER].mean() < 0.15 * before


@every_algorithm
@pytest.mark.parametrize("axis", [2, 1], ids=["mirrored", "upside down"])
def test_the_flow_of_mirrored_frames_is_the_mirrored_flow_with_one_sign_changed(create, name, axis):
    gray = turned_pair()
    plain = create(name)(gray).data
    mirrored = create(name)(np.ascontiguousarray(np.flip(gray, axis))).data
    expected = np.flip(plain, axis + 1).copy()
    expected[:, 0 if axis == 2 else 1] *= -1
    error = np.hypot(*(mirrored - expected)[0][INNER])
    assert error.mean() < 0.08
    unsigned = np.flip(plain, axis + 1)
    assert np.hypot(*(mirrored - unsigned)[0][INNER]).mean() > 0.5


@every_algorithm
@pytest.mark.parametrize("scene", ["texture", "black", "white", "noise", "edge"])
def test_where_nothing_moves_the_flow_is_zero(create, name, scene):
    image = {
        "texture": pair(0, 0)[0],
        "black": np.zeros((HEIGHT, WIDTH), np.uint8),
        "white": np.full((HEIGHT, WIDTH), 255, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8),
        "edge": np.where(np.arange(WIDTH) < 40, 0, 255).astype(np.uint8)
        * np.ones((HEIGHT, 1), "B"),
    }[scene]
    flow = create(name)(np.stack([image, image])).data
    # The polynomial expansion is disturbed a little by the borders, whatever moves.
    assert np.abs(flow).mean() < 0.02
    assert np.abs(flow).max() < 0.3


@every_algorithm
def test_the_same_frames_give_the_same_flow_whatever_came_before(create, name):
    algorithm = create(name)
    first = algorithm(pair(1.5, 0.5)).data
    algorithm(pair(-3, 2, seed=5, height=40, width=48))
    np.testing.assert_array_equal(algorithm(pair(1.5, 0.5)).data, first)


@every_algorithm
def test_the_frames_are_left_as_they_were_and_need_not_lie_in_one_piece(create, name):
    gray = made.moving_scene(4, HEIGHT, WIDTH, 1, 0)
    before = gray.copy()
    scattered = np.asfortranarray(gray)[::2]
    flow = create(name)(scattered).data
    np.testing.assert_array_equal(gray, before)
    np.testing.assert_array_equal(flow, create(name)(gray[::2].copy()).data)


@every_algorithm
@pytest.mark.parametrize(
    "gray",
    [
        np.zeros((2, 64, 64), np.float32),
        np.zeros((2, 64, 64), np.int16),
        np.zeros((64, 64), np.uint8),
        np.zeros((2, 64, 64, 3), np.uint8),
    ],
    ids=["float", "int16", "one image", "colour"],
)
def test_what_is_no_stack_of_gray_frames_is_refused(create, name, gray):
    with pytest.raises(ValueError, match=r"uint8 \(T, H, W\)"):
        create(name)(gray)


# Sizes at which native code has crashed; each runs where a crash costs nothing but this test.

SMALL = [1, 2, 5, 8, 11, 12, 15, 16, 17, 24, 33, 40]
TRY_SIZES = """
import sys
import zlib
import numpy as np
from flowcache import algorithms, plugins
from flowcache.errors import UserError
name, heights, widths, options = sys.argv[1], *map(eval, sys.argv[2:])
random = np.random.default_rng(0)
algorithm = plugins.create(algorithms, name, **options)
for height in heights:
    for width in widths:
        gray = random.integers(0, 256, (2, height, width)).astype(np.uint8)
        print(height, width, flush=True)
        try:
            flow = algorithm(gray).data
        except UserError as error:
            assert f"{width}x{height}" in str(error), error
            assert "\\n" not in str(error)
        else:
            assert flow.shape == (1, 2, height, width)
            assert np.isfinite(flow).all(), "not finite"
            print(zlib.crc32(flow.tobytes()))
print("end")
"""


def try_sizes(root, name, heights, widths, options=None, memory="0"):
    """What each size gave; `memory` is what the C library fills new memory with, where it can."""
    run = subprocess.run(
        [sys.executable, "-c", TRY_SIZES, name, repr(heights), repr(widths), repr(options or {})],
        cwd=root,
        env={**os.environ, "MALLOC_PERTURB_": memory, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = run.stdout.splitlines() or ["nothing"]
    assert (run.returncode, lines[-1]) == (0, "end"), f"at {lines[-1]}: {run.stderr[-600:]}"
    return lines


@every_algorithm_forms_slowly
def test_small_frames_work_or_are_refused_with_their_size_and_never_crash(root, name):
    try_sizes(root, name, SMALL, SMALL)


@every_algorithm_forms_slowly
def test_the_flow_does_not_depend_on_what_lay_in_memory_before(root, name):
    sizes = [1, 5, 12, 17, 40]
    first, second = (try_sizes(root, name, sizes, sizes, memory=m) for m in ("85", "165"))
    assert first == second


@every_algorithm_forms_slowly
@pytest.mark.parametrize("long", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_long_and_narrow_frames_work_or_are_refused_and_never_crash(root, name, long):
    try_sizes(root, name, [8, 16, 18], [long])
    try_sizes(root, name, [long], [8, 16, 18])


@pytest.mark.parametrize(
    "options",
    [
        {"finest_scale": 0},
        {"finest_scale": 2, "patch_stride": 4},
        {"finest_scale": 3},
        {"finest_scale": 0, "patch_size": 4, "patch_stride": 1},
        {"finest_scale": 1, "patch_size": 12, "patch_stride": 12},
        {"finest_scale": 2, "variational_refinement_iterations": 0},
    ],
    ids=str,
)
def test_dis_never_crashes_on_small_frames_whatever_its_options(root, options):
    sizes = [5, 8, 9, 12, 16, 17, 24, 25, 33, 48, 64, 65, 100]
    try_sizes(root, "dis", sizes, sizes, options)


# Options


@pytest.mark.parametrize("name", NAMES)
def test_it_is_frozen_keyword_only_and_picklable_also_where_it_cannot_run(create, name):
    algorithm = create(name)
    field = dataclasses.fields(algorithm)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(algorithm, field, getattr(algorithm, field))
    with pytest.raises(TypeError):
        type(algorithm)(getattr(algorithm, field))
    assert pickle.loads(pickle.dumps(algorithm)) == algorithm


@every_algorithm
def test_what_was_pickled_gives_the_same_flow(create, name):
    algorithm = create(name)
    algorithm(pair(1, 0))  # whatever it keeps from this must not hinder it
    again = pickle.loads(pickle.dumps(algorithm))
    assert again == algorithm
    np.testing.assert_array_equal(again(pair(1, 0)).data, algorithm(pair(1, 0)).data)


@pytest.mark.parametrize("name", sorted({*NAMES} - {*ABLE}))
def test_one_that_cannot_run_here_says_so_in_one_sentence(create, name):
    with pytest.raises(UserError, match=f"^{name} needs ") as caught:
        create(name)(pair(1, 0))
    assert "\n" not in str(caught.value)


@every_algorithm
def test_its_version_names_what_runs(create, name):
    version = create(name).version
    assert isinstance(version, str)
    assert version


SPECIAL = {
    ("farneback", "poly_n"): 7,
    ("farneback", "levels"): 0,
    ("farneback", "iterations"): 1,
    ("tvl1", "profile"): "fast",
    ("tvl1", "median_filtering"): 3,
    ("tvl1", "nscales"): 1,
    ("tvl1", "epsilon"): 0.1,
    ("tvl1", "inner_iterations"): 2,
    ("tvl1_opencv", "median_filtering"): 3,
    ("tvl1_opencv", "nscales"): 1,
    ("tvl1_opencv", "gamma"): 0.5,
    ("tvl1_opencv", "epsilon"): 0.1,
    ("tvl1_opencv", "inner_iterations"): 2,
    ("tvl1_opencv", "outer_iterations"): 1,
    ("dis", "gradient_descent_iterations"): 2,
}
# An algorithm's form for devices has its options, and finds the same flow.
FORMS = {n: n.rpartition("_")[0] for n in ABLE if n.endswith(("_torch", "_triton"))}
SPECIAL |= {(f, o): v for f, base in FORMS.items() for (n, o), v in SPECIAL.items() if n == base}
OPTIONS = [
    (name, option, default)
    for name in ABLE
    for option, default in plugins.public_options(plugins.create(algorithms, name)).items()
]


@pytest.mark.parametrize(("name", "option", "default"), OPTIONS)
def test_each_option_is_recorded_and_changes_the_flow(create, name, option, default):
    if (name, option) in SPECIAL:
        other = SPECIAL[name, option]
    elif isinstance(default, bool):
        other = not default
    else:
        other = type(default)(default * 2 if isinstance(default, float) else default + 1)
    if option == "scale_step":
        other = 0.5
    if option == "pyr_scale":
        other = 0.8
    changed = create(name, **{option: other})
    assert plugins.public_options(changed)[option] == other
    (parsed,) = plugins.parse_options(algorithms, name, [f"{option}={other}"]).values()
    assert parsed == other
    assert type(parsed) is type(default)
    gray = made.moving_scene(2, HEIGHT, WIDTH, 4.5, -3.0, 4)
    gray[1] = np.clip(gray[1] * 0.9 + np.random.default_rng(1).normal(8, 6, gray[1].shape), 0, 255)
    assert not np.array_equal(changed(gray).data, create(name)(gray).data)


# Accuracy against measured ground truth

# Mean end-point errors with the defaults; OpenCV's are of version 5.0.
MIDDLEBURY = {
    "tvl1": {"RubberWhale": 0.137, "Grove2": 0.129, "Urban2": 0.358, "Venus": 0.296},
    "tvl1_opencv": {"RubberWhale": 0.156, "Grove2": 0.157, "Urban2": 3.57, "Venus": 0.306},
    "farneback": {"RubberWhale": 0.327, "Grove2": 0.492, "Urban2": 1.51, "Venus": 1.44},
    "dis": {"RubberWhale": 0.223, "Grove2": 0.324, "Urban2": 0.65, "Venus": 0.391},
}
MIDDLEBURY |= {form: MIDDLEBURY[base] for form, base in FORMS.items() if base in MIDDLEBURY}


@pytest.mark.parametrize(
    ("name", "scene", "expected"),
    [
        pytest.param(n, s, e, marks=pytest.mark.slow if n == "tvl1_opencv" else ())
        for n, row in MIDDLEBURY.items()
        for s, e in row.items()
    ],
)
def test_errors_on_middlebury_are_those_of_the_algorithm(data, create, name, scene, expected):
    truth, known = middlebury.truth(data, scene)
    flow = create(name)(middlebury.frames(data, scene)).data[0]
    error = np.hypot(*(flow - truth))[known].mean()
    assert error == pytest.approx(expected, rel=0.05)


@every_algorithm
def test_an_algorithm_without_figures_here_still_beats_no_motion_at_all(data, create, name):
    window = np.s_[..., 100:220, 200:360]
    truth, known = (array[window] for array in middlebury.truth(data, "RubberWhale"))
    gray = np.ascontiguousarray(middlebury.frames(data, "RubberWhale")[window])
    flow = create(name)(gray).data[0]
    error = np.hypot(*(flow - truth))[known].mean()
    assert error < 0.5 * np.hypot(*truth)[known].mean()
