"""What is compiled is kept: tried with some small functions, and looked at for those of flowcache."""

import ctypes
import json
import os
import subprocess
import sys

import pytest

LOOPS = """
from flowcache.compiled import compiled

@compiled()
def _ratio(first, second):
    return first / second

@compiled("float64(float64, float64)")
def ratio(first, second):
    return _ratio(first, second)

@compiled("float32[:](float32[:])", "float64[:](float64[:])")
def doubled(values):
    return values * 2
"""
VARIANTS = 3  # of the two functions that have signatures
# What each process had to compile, and what it found.
REPORT = """
import importlib, json, sys
found = compiled = 0
folders = set()
for name in sys.argv[1:]:
    for function in vars(importlib.import_module(name)).values():
        if getattr(function, "signatures", None) and function.stats.cache_path:
            found += sum(function.stats.cache_hits.values())
            compiled += sum(function.stats.cache_misses.values())
            folders.add(function.stats.cache_path)
if "loops" in sys.modules:
    import loops
    assert str(loops.ratio(1.0, 0.0)) == "inf"
print(json.dumps({"found": found, "compiled": compiled, "folders": sorted(folders)}))
"""


@pytest.fixture
def folder(tmp_path):
    """A folder that holds some functions to compile."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "loops.py").write_text(LOOPS)
    yield folder
    folder.chmod(0o755)


@pytest.fixture
def start(root, folder):
    """Begins a process that imports modules and reports."""

    def start(*modules, **environment):
        inherited = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
        inherited["PYTHONPATH"] = os.pathsep.join([str(root), str(folder)])
        return subprocess.Popen(
            [sys.executable, "-B", "-c", REPORT, *(modules or ["loops"])],
            cwd=root,
            env={**inherited, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=obey_permissions,
        )

    return start


def obey_permissions():
    """Let modes bind the superuser too, who could otherwise write everywhere."""
    if sys.platform == "linux" and os.geteuid() == 0:
        drop_from_bounding_set, override_permissions = 24, 1
        ctypes.CDLL(None).prctl(drop_from_bounding_set, override_permissions, 0, 0, 0)


def report(process):
    out, errors = process.communicate()
    assert process.returncode == 0, errors[-800:]
    return json.loads(out)


@pytest.mark.slow
def test_of_processes_that_start_at_once_one_compiles_and_neither_the_others_nor_later_ones(start):
    processes = [start() for _ in range(3)]
    reports = [report(process) for process in processes]
    assert sum(r["compiled"] for r in reports) == VARIANTS
    assert sum(r["found"] for r in reports) == 2 * VARIANTS
    later = report(start())
    assert (later["compiled"], later["found"]) == (0, VARIANTS)


@pytest.mark.slow
def test_what_is_compiled_lies_beside_its_file_and_is_made_anew_when_that_changes(start, folder):
    first = report(start())
    assert (first["folders"], first["compiled"]) == ([str(folder / "__pycache__")], VARIANTS)
    (folder / "loops.py").write_text(LOOPS.replace("values * 2", "values * 3 / 1"))
    assert report(start())["compiled"] == VARIANTS


@pytest.mark.slow
def test_where_the_package_is_read_only_the_users_folder_serves(start, folder, tmp_path):
    folder.chmod(0o555)
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    first, second = (report(start(**home)) for _ in range(2))
    (where,) = first["folders"]
    assert where.startswith(str(tmp_path / "cache"))
    assert (first["compiled"], second["compiled"]) == (VARIANTS, 0)


def test_where_nothing_can_be_written_it_compiles_each_time_and_works(start, folder):
    folder.chmod(0o555)
    nowhere = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/proc/nonexistent"}
    assert report(start(**nowhere))["found"] == 0


def test_a_second_process_compiles_none_of_the_packages_own_functions(start):
    modules = ["flowcache.algorithms.tvl1.kernels", "flowcache.cache.codec_kernels"]
    report(start(*modules))
    second = report(start(*modules))
    assert (second["compiled"], second["found"]) == (0, 8)
