"""Accuracy against measured ground truth."""

import middlebury
import numpy as np
import pytest
from every_backend import ABLE, every_able_backend

from flowcache.algorithms import create

pytestmark = pytest.mark.usefixtures("one_opencv_thread")
# Mean end-point errors with the defaults; OpenCV's are of version 5.0. Backends differ by rounding.
MIDDLEBURY = {
    "tvl1": {"RubberWhale": 0.172, "Grove2": 0.159, "Urban2": 0.424, "Venus": 0.397},
    "tvl1_opencv": {"RubberWhale": 0.156, "Grove2": 0.157, "Urban2": 3.57, "Venus": 0.306},
    "farneback": {"RubberWhale": 0.327, "Grove2": 0.492, "Urban2": 1.51, "Venus": 1.44},
    "dis": {"RubberWhale": 0.223, "Grove2": 0.324, "Urban2": 0.65, "Venus": 0.391},
}
# OpenCV's TV-L1 and what runs in PyTorch take seconds for a pair. That their flow is that of a quick
# one is looked at in parts of these pairs elsewhere.
QUICK = {("tvl1", "cpu"), ("farneback", "cpu"), ("dis", "cpu")}


@pytest.mark.parametrize(
    ("name", "backend", "scene", "expected"),
    [
        pytest.param(n, b, s, e, marks=[] if (n, b) in QUICK else [pytest.mark.slow])
        for n, b in ABLE
        for s, e in MIDDLEBURY.get(n, {}).items()
    ],
)
def test_errors_on_middlebury_are_those_of_the_algorithm(data, name, backend, scene, expected):
    truth, known = middlebury.truth(data, scene)
    flow = create(name, backend)(middlebury.frames(data, scene)).data[0]
    error = np.hypot(*(flow - truth))[known].mean()
    assert error == pytest.approx(expected, rel=0.05)


@every_able_backend
def test_an_algorithm_without_figures_here_still_beats_no_motion_at_all(data, name, backend):
    window = np.s_[..., 100:220, 200:360]
    truth, known = (array[window] for array in middlebury.truth(data, "RubberWhale"))
    gray = np.ascontiguousarray(middlebury.frames(data, "RubberWhale")[window])
    flow = create(name, backend)(gray).data[0]
    error = np.hypot(*(flow - truth))[known].mean()
    assert error < 0.5 * np.hypot(*truth)[known].mean()
