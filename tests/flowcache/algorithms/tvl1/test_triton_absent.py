"""Where there is no GPU, or no Triton that is new enough: that it is told, and disturbs nobody."""

import pytest
from triton_child import run_python, version

from flowcache.algorithms.tvl1 import triton
from flowcache.errors import UserError

WITHOUT_A_GPU = """
import sys
import numpy as np
from flowcache.algorithms.tvl1 import torch, triton
from flowcache.errors import UserError
gray = np.random.default_rng(0).integers(0, 256, (2, 20, 30)).astype(np.uint8)
assert torch.create(warps=1)(gray).data.shape == (1, 2, 20, 30)
assert torch.devices()[0] == "cpu"
assert triton.devices() == []
try:
    triton.create()(gray)
except UserError as error:
    print(error)
print([name for name in sys.modules if name.partition(".")[0] == "triton"])
"""


def test_without_a_gpu_nobody_notices_that_there_are_algorithms_for_one(root):
    # Both kinds of GPU are hidden, should there be one.
    run = run_python(root, "-c", WITHOUT_A_GPU, CUDA_VISIBLE_DEVICES="", HIP_VISIBLE_DEVICES="")
    assert (run.returncode, run.stderr) == (0, "")
    said, loaded = run.stdout.splitlines()
    assert said == "tvl1's backend triton needs a GPU that PyTorch can use: use another backend"
    assert loaded == "[]"


def test_without_triton_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(triton, "triton_version", lambda: "")
    with pytest.raises(UserError, match="needs Triton") as caught:
        _ = triton.create().version
    assert "\n" not in str(caught.value)


def test_its_version_names_triton(child):
    of_triton, ours = child(version)
    assert ours == f"1, Triton {of_triton}"


@pytest.mark.parametrize(
    ("installed", "able"),
    [("", False), ("3.3.1", False), ("3.4.0", True), ("3.10.0", True), ("4.0", True)],
)
def test_it_runs_on_gpus_by_a_triton_that_is_new_enough(monkeypatch, installed, able):
    monkeypatch.setattr(triton, "triton_version", lambda: installed)
    monkeypatch.setattr(triton, "gpus", lambda: ["cuda:0", "cuda:1"])
    assert triton.devices() == (["cuda:0", "cuda:1"] if able else [])
    monkeypatch.setattr(triton, "gpus", list)
    assert triton.devices() == []
