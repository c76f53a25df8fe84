"""The options and profiles that all backends of TV-L1 have."""

import dataclasses

import cv2
import numpy as np
import pytest

from flowcache import algorithms
from flowcache.algorithms.tvl1.options import PROFILES, Options
from flowcache.errors import UserError

BACKENDS = [backend.name for backend in algorithms.backends("tvl1")]
every_profile = pytest.mark.parametrize("profile", PROFILES)
every_backend = pytest.mark.parametrize("backend", BACKENDS)


@every_profile
@every_backend
def test_a_profile_is_a_set_of_values_of_which_each_can_be_replaced(profile, backend):
    made = algorithms.create("tvl1", backend, profile=profile)
    values = dataclasses.asdict(made)
    exact = profile == "opencv" and backend == "cpu"
    assert values == {"profile": profile, **PROFILES[profile], "exact": exact}
    assert None not in values.values()
    assert type(made)(**values) == made
    changed = type(made)(profile=profile, warps=4)
    assert changed == dataclasses.replace(made, warps=4)
    assert changed.theta == made.theta


def test_a_profile_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match="profile=best is none of accurate, fast, opencv"):
        algorithms.create("tvl1", profile="best")


@every_backend
def test_opencvs_order_of_rounding_is_for_the_processor_alone(backend):
    assert not algorithms.create("tvl1", backend, exact=False, profile="opencv").exact
    if backend == "cpu":
        assert algorithms.create("tvl1", exact=True).exact
        return
    with pytest.raises(UserError, match="exact=True is for the CPU alone") as caught:
        algorithms.create("tvl1", backend, exact=True)
    assert caught.value.parameter == "options"


def test_opencvs_own_program_refuses_a_single_row_and_ours_does_not():
    gray = np.zeros((2, 1, 20), np.uint8)
    with pytest.raises(UserError, match="20x1") as caught:
        algorithms.create("tvl1_opencv")(gray)
    assert caught.value.parameter == "size"
    assert algorithms.create("tvl1")(gray).data.shape == (1, 2, 1, 20)


# Pyramids


@pytest.mark.parametrize("scale_step", [0.5, 0.6, 0.75, 0.8, 0.95])
def test_the_sizes_of_a_pyramid_are_those_that_opencv_makes(scale_step):
    options = Options(nscales=100, scale_step=scale_step)
    # Every side up to 80, some of them together with a longer one: halves are rounded to even.
    shapes = [(n, n) for n in range(1, 80)] + [(n, 3 * n + 1) for n in range(15, 60, 7)]
    for shape in shapes:
        levels = [np.zeros(shape, np.float32)]
        while min(levels[-1].shape) > 16 / scale_step - 2:
            smaller = cv2.resize(levels[-1], None, fx=scale_step, fy=scale_step)
            if min(smaller.shape) < 16:
                break
            levels.append(smaller)
        assert options.sizes(*shape) == [level.shape for level in levels]


@pytest.mark.parametrize("nscales", [1, 2, 3, 100])
def test_a_pyramid_has_no_more_levels_than_asked_for_and_none_under_16_pixels(nscales):
    sizes = Options(nscales=nscales, scale_step=0.5).sizes(240, 136)
    assert sizes == [(240, 136), (120, 68), (60, 34), (30, 17)][:nscales]
    assert Options(nscales=nscales).sizes(1, 1) == [(1, 1)]
