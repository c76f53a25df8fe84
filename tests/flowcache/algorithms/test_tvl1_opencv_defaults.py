"""The parameters that every TV-L1 has: that their values are those of OpenCV's program."""

import dataclasses

import cv2
import pytest

from flowcache import algorithms
from flowcache.algorithms._tvl1_opencv_defaults import OPENCV_DEFAULTS

GETTERS = {
    "tau": "getTau",
    "lambda_": "getLambda",
    "theta": "getTheta",
    "nscales": "getScalesNumber",
    "scale_step": "getScaleStep",
    "warps": "getWarpingsNumber",
    "epsilon": "getEpsilon",
    "inner_iterations": "getInnerIterations",
    "outer_iterations": "getOuterIterations",
    "median_filtering": "getMedianFiltering",
}


@pytest.fixture(scope="module")
def theirs():
    """What OpenCV's program says of itself."""
    solver = cv2.optflow.DualTVL1OpticalFlow.create()
    assert solver.getGamma() == 0
    return {name: getattr(solver, getter)() for name, getter in GETTERS.items()}


def test_the_ten_defaults_are_those_that_opencvs_program_has(theirs):
    assert dict(OPENCV_DEFAULTS) == theirs


@pytest.mark.parametrize(
    ("name", "backend", "options"),
    [("tvl1_opencv", "cpu", {})]
    + [("tvl1", b.name, {"profile": "opencv"}) for b in algorithms.backends("tvl1")],
)
def test_what_has_opencvs_defaults_has_all_of_them(theirs, name, backend, options):
    ours = dataclasses.asdict(algorithms.create(name, backend, **options))
    assert {key: ours[key] for key in theirs} == theirs


def test_opencvs_program_adds_nothing_but_an_illumination_field_which_is_off(theirs):
    ours = dataclasses.asdict(algorithms.create("tvl1_opencv"))
    assert ours == {**theirs, "gamma": 0}


def test_where_only_opencvs_values_are_said_the_profile_changes_nothing_else():
    opencv, accurate = (
        dataclasses.asdict(algorithms.create("tvl1", profile=profile))
        for profile in ("opencv", "accurate")
    )
    off = {"presmoothing": 0, "coarse_texture": 0, "five_point_derivative": False, "edge_weight": 0}
    assert {key: opencv[key] for key in off} == off
    assert opencv["exact"]
    assert not accurate["exact"]
