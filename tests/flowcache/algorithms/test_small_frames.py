"""Sizes at which native code has crashed; each runs where a crash costs nothing but this test."""

import itertools
import os
import subprocess
import sys

import pytest
from every_backend import ABLE

# A batched backend imports PyTorch in each process that it is tried in, which takes long.
every_able_backend_that_is_quick = pytest.mark.parametrize(
    ("name", "backend"),
    [pytest.param(n, b, marks=[pytest.mark.slow] if b != "cpu" else []) for n, b in ABLE],
)
SMALL = [1, 2, 5, 8, 11, 12, 15, 16, 17, 24, 33, 40]
NARROW = [8, 16, 18]


def long_and_narrow(long):
    return [*itertools.product(NARROW, [long]), *itertools.product([long], NARROW)]


TRY_SIZES = """
import sys
import zlib
import numpy as np
from flowcache import algorithms
from flowcache.errors import UserError
name, backend, sizes, options = *sys.argv[1:3], *map(eval, sys.argv[3:])
random = np.random.default_rng(0)
for given in options:
    algorithm = algorithms.create(name, backend, **given)
    for height, width in sizes:
        gray = random.integers(0, 256, (2, height, width)).astype(np.uint8)
        print(given, height, width, flush=True)
        try:
            flow = algorithm(gray).data
        except UserError as error:
            assert error.parameter == "size"
            assert f"{width}x{height}" in str(error), error
            assert "\\n" not in str(error)
        else:
            assert flow.shape == (1, 2, height, width)
            assert np.isfinite(flow).all(), "not finite"
            print(zlib.crc32(flow.tobytes()))
print("end")
"""


def try_sizes(root, name, backend, sizes, options=({},), memory="0"):
    """What each size gave; `memory` is what the C library fills new memory with, where it can."""
    run = subprocess.run(
        [sys.executable, "-c", TRY_SIZES, name, backend, repr(sizes), repr(options)],
        cwd=root,
        env={**os.environ, "MALLOC_PERTURB_": memory, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = run.stdout.splitlines() or ["nothing"]
    assert (run.returncode, lines[-1]) == (0, "end"), f"at {lines[-1]}: {run.stderr[-600:]}"
    return lines


@every_able_backend_that_is_quick
def test_small_frames_work_or_are_refused_whatever_lay_in_memory_and_never_crash(
    root, name, backend
):
    sizes = [*itertools.product(SMALL, SMALL), *long_and_narrow(200)]
    options = [{"warps": 1} if name.startswith("tvl1") else {}]
    first, second = (
        try_sizes(root, name, backend, sizes, options, memory) for memory in ("85", "165")
    )
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize(("name", "backend"), ABLE)
def test_very_long_and_narrow_frames_work_or_are_refused_and_never_crash(root, name, backend):
    try_sizes(root, name, backend, long_and_narrow(1000))


def test_dis_never_crashes_on_small_frames_whatever_its_options(root):
    options = [
        {"finest_scale": 0},
        {"finest_scale": 2, "patch_stride": 4},
        {"finest_scale": 3},
        {"finest_scale": 0, "patch_size": 4, "patch_stride": 1},
        {"finest_scale": 1, "patch_size": 12, "patch_stride": 12},
        {"finest_scale": 2, "variational_refinement_iterations": 0},
    ]
    sides = [5, 8, 9, 12, 16, 17, 24, 25, 33, 48, 64, 65, 100]
    try_sizes(root, "dis", "cpu", [*itertools.product(sides, sides)], options)
