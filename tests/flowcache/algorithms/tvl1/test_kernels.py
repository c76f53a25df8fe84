"""The compiled loops of TV-L1: in which order they run, without vectors, on other processors."""

import os
import subprocess
import sys
import types

import numba
import numpy as np
import pytest

from flowcache.algorithms.tvl1 import kernels
from flowcache.algorithms.tvl1.cpu import TVL1

pytestmark = pytest.mark.usefixtures("one_opencv_thread")


@pytest.mark.parametrize("iterations", [1, 3, 4, 11])
@pytest.mark.parametrize("shape", [(24, 20), (70, 300), (131, 17), (5, 3)], ids=str)
def test_several_iterations_in_one_pass_are_those_of_one_after_the_other(shape, iterations):
    gray = np.random.default_rng(1).integers(0, 256, (2, *shape)).astype(np.uint8)
    options = {"nscales": 1, "warps": 1, "inner_iterations": iterations, "outer_iterations": 1}
    together = TVL1(**options, epsilon=0.0)(gray).data
    # A threshold that is not reached has the iterations done one by one.
    singly = TVL1(**options, epsilon=1e-9)(gray).data
    np.testing.assert_array_equal(together, singly)


# The taps, with and without vectors


@pytest.fixture(scope="module")
def plain_warp():
    """`warp` with the taps in plain Python, as it is compiled where the vectors are not understood."""
    names = {**vars(kernels), "_taps": kernels.weighted_taps}
    warp = types.FunctionType(kernels._warp.__code__, names, "plain_warp")
    return numba.njit(warp, error_model="numpy")


@pytest.mark.parametrize("shape", [(1, 1), (1, 19), (5, 3), (24, 37)], ids=str)
@pytest.mark.parametrize("far", [0.0, 0.7, 30.0, 1e6])
def test_the_plain_taps_give_the_bits_of_those_in_vectors(plain_warp, shape, far):
    height, width = shape
    random = np.random.default_rng(0)
    image = random.integers(0, 256, shape).astype(np.float32)
    interleaved = np.empty((height + 7, width + 7, 4), np.float32)
    kernels.interleave(image, interleaved, np.float32(8 / 12), np.float32(-1 / 12))
    u = random.normal(0, far, (2, *shape)).astype(np.float32)
    sampled = []
    for warp in (kernels.warp, plain_warp):
        fields = kernels.fields(kernels.memory(*shape), *shape)
        inside = kernels.inside(fields, *shape)
        inside[: kernels.U2 + 1] = u
        warp(interleaved, fields, np.empty((8, width), np.float32), np.empty(width, np.int32))
        sampled.append(inside[kernels.RHO : kernels.GY + 1].copy())
    np.testing.assert_array_equal(sampled[0].view(np.int32), sampled[1].view(np.int32))
    if not far:
        np.testing.assert_array_equal(sampled[0][0], image)


FLOW = """
import zlib
import numpy as np
{before}
from flowcache.algorithms.tvl1 import kernels
from flowcache.algorithms.tvl1.cpu import TVL1
assert kernels.iterate.signatures
gray = np.random.default_rng(0).integers(0, 256, (2, 41, 53)).astype(np.uint8)
for options in [{{"presmoothing": 0.0, "nscales": 1}}, {{"exact": True, "nscales": 1}}]:
    print(zlib.crc32(TVL1(warps=1, **options)(gray).data.tobytes()))
"""
WITHOUT_VECTORS = """
import sys
from llvmlite import ir
def refuse(*_):
    print("refused", file=sys.stderr)
    raise TypeError("vectors are written otherwise now")
ir.VectorType = refuse
"""


def flow_of_a_process(root, before="", **environment):
    """The digests of some flow, and what was said on the way."""
    result = subprocess.run(
        [sys.executable, "-c", FLOW.format(before=before)],
        cwd=root,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-800:]
    assert len(result.stdout.split()) == 2
    return result.stdout.split(), result.stderr


@pytest.mark.slow
def test_where_the_compiler_refuses_vectors_the_flow_is_the_same_to_the_last_bit(root, tmp_path):
    without, said = flow_of_a_process(root, WITHOUT_VECTORS, NUMBA_CACHE_DIR=str(tmp_path))
    assert "refused" in said
    assert without == flow_of_a_process(root)[0]


# The processor


@pytest.mark.slow
@pytest.mark.parametrize(
    "features", ["+sse2,+sse3,+ssse3,+sse4.1,+sse4.2", "+sse2,+sse4.2,+avx,+avx2,+fma"]
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the features are those of x86-64")
def test_older_processors_compute_the_same_to_the_last_bit(root, tmp_path, features):
    older = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features}
    there = flow_of_a_process(root, NUMBA_CACHE_DIR=str(tmp_path), **older)
    assert there == flow_of_a_process(root)
