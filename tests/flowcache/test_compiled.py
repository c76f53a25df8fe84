import ctypes
import json
import os
import shutil
import subprocess
import sys

import pytest

# What each process had to compile, and what it found.
REPORT = """
import json
from flowcache.algorithms import _tvl1_kernels as kernels
public = [kernels.interleave, kernels.warp, kernels.linearise, kernels.iterate]
stats = [function.stats for function in public]
print(json.dumps({
    "found": sum(sum(s.cache_hits.values()) for s in stats),
    "compiled": sum(sum(s.cache_misses.values()) for s in stats),
    "folder": getattr(stats[0], "cache_path", None),
}))
"""
FUNCTIONS = 4


def start(root, **environment):
    inherited = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    return subprocess.Popen(
        [sys.executable, "-c", REPORT],
        cwd=root,
        env={**inherited, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obey_permissions,
    )


def obey_permissions():
    """Let modes bind the superuser too, who could otherwise write everywhere."""
    if sys.platform == "linux" and os.geteuid() == 0:
        drop_from_bounding_set, override_permissions = 24, 1
        ctypes.CDLL(None).prctl(drop_from_bounding_set, override_permissions, 0, 0, 0)


def report(process):
    out, errors = process.communicate()
    assert process.returncode == 0, errors[-800:]
    return json.loads(out)


def test_a_second_process_compiles_nothing(root, tmp_path):
    first = report(start(root, NUMBA_CACHE_DIR=str(tmp_path)))
    second = report(start(root, NUMBA_CACHE_DIR=str(tmp_path)))
    assert (first["compiled"], first["found"]) == (FUNCTIONS, 0)
    assert (second["compiled"], second["found"]) == (0, FUNCTIONS)


def test_of_processes_that_start_at_once_one_compiles_and_the_others_wait(root, tmp_path):
    processes = [start(root, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(3)]
    reports = [report(process) for process in processes]
    assert sum(r["compiled"] for r in reports) == FUNCTIONS
    assert sum(r["found"] for r in reports) == 2 * FUNCTIONS


@pytest.fixture
def read_only_copy(root, tmp_path):
    """The package where it cannot be written to."""
    copy = tmp_path / "package"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "flowcache", copy / "flowcache", ignore=ignore)
    folders = [copy, *(f for f in copy.rglob("*") if f.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield copy
    for folder in folders:
        folder.chmod(0o755)


def test_where_the_package_is_read_only_the_users_folder_serves(read_only_copy, tmp_path):
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    first, second = (report(start(read_only_copy, **home)) for _ in range(2))
    assert first["folder"].startswith(str(tmp_path / "cache"))
    assert (first["compiled"], second["compiled"]) == (FUNCTIONS, 0)


def test_where_nothing_can_be_written_it_compiles_each_time_and_works(read_only_copy):
    nowhere = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/proc/nonexistent"}
    assert report(start(read_only_copy, **nowhere))["found"] == 0
