"""The options that all backends of Farnebäck's method have."""

import dataclasses

import cv2
import pytest

from flowcache import algorithms
from flowcache.algorithms.farneback.options import Options

GETTERS = {
    "pyr_scale": "getPyrScale",
    "levels": "getNumLevels",
    "winsize": "getWinSize",
    "iterations": "getNumIters",
    "poly_n": "getPolyN",
    "poly_sigma": "getPolySigma",
}


def test_the_defaults_are_those_that_opencvs_program_has():
    solver = cv2.FarnebackOpticalFlow.create()
    theirs = {name: getattr(solver, getter)() for name, getter in GETTERS.items()}
    gaussian = bool(solver.getFlags() & cv2.OPTFLOW_FARNEBACK_GAUSSIAN)
    assert dataclasses.asdict(Options()) == {**theirs, "gaussian": gaussian}


@pytest.mark.parametrize("backend", [b.name for b in algorithms.backends("farneback")])
def test_every_backend_has_these_options_and_no_other(backend):
    made = algorithms.create("farneback", backend, winsize=21)
    assert dataclasses.asdict(made) == dataclasses.asdict(Options(winsize=21))
