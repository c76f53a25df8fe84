"""What each algorithm can be told: nonsense is refused by name, and the last sensible values work."""

import made_videos as made
import numpy as np
import pytest

from flowcache import algorithms, plugins
from flowcache.errors import UserError

pytestmark = pytest.mark.usefixtures("one_opencv_thread")
ALL = [(name, backend.name) for name in algorithms.names() for backend in algorithms.backends(name)]

OF_ANY_TVL1 = {
    "tau": (0, "more than 0"),
    "lambda": (-1, "more than 0"),
    "theta": (0, "more than 0"),
    "nscales": (0, "1 or more"),
    "scale_step": (1, "between 0 and 1"),
    "warps": (0, "1 or more"),
    "epsilon": (-0.1, "0 or more"),
    "inner_iterations": (0, "1 or more"),
    "outer_iterations": (0, "1 or more"),
    "median_filtering": (4, "1, 3 or 5"),
}
REFUSED = {
    "farneback": [
        ("winsize", 0, "1 or more"),
        ("poly_n", -3, "1 or more"),
        ("poly_sigma", -0.5, "0 or more"),
        ("pyr_scale", 2, "between 0 and 1"),
        ("pyr_scale", 0, "between 0 and 1"),
        ("levels", -1, "0 or more"),
        ("iterations", 0, "1 or more"),
    ],
    "dis": [
        ("patch_size", 0, "a multiple of 4"),
        ("patch_size", 6, "a multiple of 4"),
        ("patch_stride", 0, "1 to 8, the patches' side"),
        ("patch_stride", 9, "1 to 8, the patches' side"),
        ("finest_scale", -1, "0 or more"),
        ("alpha", -1, "0 or more"),
    ],
    "tvl1_opencv": [
        *((name, *rest) for name, rest in OF_ANY_TVL1.items()),
        ("gamma", -1, "0 or more"),
    ],
    "tvl1": [
        *((name, *rest) for name, rest in OF_ANY_TVL1.items()),
        ("scale_step", 0, "between 0 and 1"),
        ("presmoothing", -0.1, "0 or more"),
        ("coarse_texture", -0.1, "0 or more"),
        ("edge_weight", -0.1, "0 or more"),
    ],
}


def refusal(name, backend, **options):
    with pytest.raises(UserError) as caught:
        algorithms.create(name, backend, **options)
    assert caught.value.parameter == "options"
    return str(caught.value)


@pytest.mark.parametrize(("name", "backend"), ALL)
def test_nonsense_is_refused_with_the_option_and_what_it_must_be(name, backend):
    for option, value, wanted in REFUSED[name]:
        assert refusal(name, backend, **{option: value}) == (
            f"{name} cannot be made with these options: {option} must be {wanted}"
        )


@pytest.mark.parametrize(("name", "backend"), ALL)
def test_no_number_may_be_negative_or_infinite_or_none_at_all(name, backend):
    defaults = plugins.public_options(algorithms.create(name, backend))
    numbers = [key for key, value in defaults.items() if type(value) in (int, float)]
    assert len(numbers) > 4
    for option in numbers:
        for value in (-1, float("inf"), float("nan")):
            assert f" {option} must be " in refusal(name, backend, **{option: value})


@pytest.mark.parametrize(("name", "backend"), ALL)
def test_an_option_that_there_is_not_is_refused_with_those_that_there_are(name, backend):
    said = refusal(name, backend, speed=3)
    options = plugins.public_options(algorithms.create(name, backend))
    assert said == f"{name} has no option 'speed': it has {', '.join(options)}"


OF_ANY_TVL1_AT_THE_EDGE = [
    {"nscales": 1, "warps": 1, "inner_iterations": 1, "outer_iterations": 1},
    {"epsilon": 0, "median_filtering": 1, "warps": 1, "inner_iterations": 2},
    {"scale_step": 0.02, "tau": 1e-6, "lambda": 1e-6, "theta": 1e-6},
    {"scale_step": 0.99, "nscales": 3, "warps": 1, "inner_iterations": 2, "outer_iterations": 1},
]
ACCEPTED = {
    "farneback": [
        {"winsize": 1, "iterations": 1},
        {"poly_n": 1, "poly_sigma": 0},
        {"pyr_scale": 0.99, "levels": 2, "iterations": 1},
        {"pyr_scale": 0.01},
        {"levels": 0},
    ],
    "dis": [
        {"patch_size": 4, "patch_stride": 4},
        {"patch_stride": 1, "finest_scale": 0},
        {"patch_stride": 8},
        {"alpha": 0, "delta": 0, "gamma": 0},
        {"gradient_descent_iterations": 0, "variational_refinement_iterations": 0},
    ],
    "tvl1_opencv": [*OF_ANY_TVL1_AT_THE_EDGE, {"gamma": 0, "warps": 1}],
    "tvl1": [
        *OF_ANY_TVL1_AT_THE_EDGE,
        {"presmoothing": 0, "coarse_texture": 0, "edge_weight": 0, "warps": 1},
        {"coarse_texture": 1, "edge_weight": 0.5, "warps": 1},
    ],
}


@pytest.mark.parametrize(("name", "backend"), ALL)
def test_the_last_values_that_make_sense_are_accepted_and_work(name, backend):
    gray = made.moving_scene(2, 48, 40, 1, -1)
    for options in ACCEPTED[name]:
        algorithm = algorithms.create(name, backend, **options)
        recorded = plugins.public_options(algorithm)
        assert {key: recorded[key] for key in options} == options
        if backend != "triton":
            flow = algorithm(gray).data
            assert flow.shape == (1, 2, 48, 40)
            assert np.isfinite(flow).all(), options
