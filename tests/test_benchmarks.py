"""Benchmarks are run by hand; here they run in small, so that they work when they are needed."""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

BESIDE = Path(sys.prefix) / "beside"  # where `make` puts what only tests need


def run(root, *words, beside=False):
    """A program's output."""
    path = os.pathsep.join([str(root), *([str(BESIDE)] if beside else [])])
    done = subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_every_benchmark_finds_what_it_imports(root, monkeypatch):
    folder = root / "benchmarks"
    monkeypatch.syspath_prepend(folder)
    paths = [
        path
        for path in (*folder.glob("*.py"), *folder.glob("gpu/*.py"))
        if path.name != "kernels.py"  # which needs Triton
    ]
    assert {folder / "extract.py", folder / "gpu" / "extraction.py"} <= {*paths}
    names = [".".join(path.relative_to(folder).with_suffix("").parts) for path in paths]
    assert not {"gpu", *names} & {*sys.modules}
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        for name in ("gpu", *names):
            sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("codec.py --algorithm dis --size 64 --fields 1 --repeats 1", "bikes"),
        ("extract.py --algorithm dis --size 64 --clips 2 --repeats 1 --minutes 0.2", "bare loop"),
        ("loader.py --algorithm dis --stacks 4 --repeats 1", "times as fast"),
        ("fusion_rules.py --draws 2", "log_linear"),
        ("export_speed.py tiny:temporal --runs 1", "onnxruntime, 2"),
        ("models.py c3d --clip 8x2x32 --batch 1 --runs 1", "GMAC"),
    ],
)
def test_a_benchmark_runs_to_its_end(root, data, words, expected):
    script, *options = words.split()
    assert expected in run(root, f"benchmarks/{script}", *options)


@pytest.mark.slow
def test_the_benchmark_of_the_flow_on_a_gpu_runs_to_its_end(root):
    if importlib.util.find_spec("triton") is None and not (BESIDE / "triton").is_dir():
        pytest.skip("Triton is not installed")
    said = run(root, "benchmarks/gpu_flow.py", "--dry-run", beside=True)
    for words in ("pairs/s", "times as fast", "Where the device's time goes", "float16"):
        assert words in said
    assert "FAILED" not in said
