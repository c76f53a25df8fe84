import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_benchmark_compares_the_methods_that_suit_a_network(root, toy, finished_runs):
    words = [str(toy.root), str(finished_runs / "temporal"), "--videos", "2"]
    done = subprocess.run(
        [sys.executable, "benchmarks/explanations.py", *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    named = [line.split("|")[2].strip() for line in done.stdout.splitlines()[2:]]
    assert named == ["random", "centre", "grad_cam", "hires_cam", "rise"]
