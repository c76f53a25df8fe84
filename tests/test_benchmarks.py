"""A benchmark that only runs on a GPU runs here in small, so that it works when there is one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

BESIDE = Path(sys.prefix) / "beside"  # where `make` puts what only tests need


@pytest.mark.slow
def test_the_benchmark_of_the_flow_on_a_gpu_runs_to_its_end(root):
    if importlib.util.find_spec("triton") is None and not (BESIDE / "triton").is_dir():
        pytest.skip("Triton is not installed")
    run = subprocess.run(
        [sys.executable, "benchmarks/gpu_flow.py", "--dry-run"],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), str(BESIDE)]),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    for words in ("pairs/s", "times as fast", "Where the device's time goes", "float16"):
        assert words in run.stdout
    assert "FAILED" not in run.stdout
