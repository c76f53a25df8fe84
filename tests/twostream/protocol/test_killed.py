"""Protocols in processes of their own: killed at any moment, and shared by two of them."""

import subprocess
import sys
import time
from pathlib import Path

import killed_protocols
import numpy as np
import pytest

from twostream.protocol import plan
from twostream.protocol.results import Ensemble, outcomes
from twostream.protocol.summary import summarise
from twostream.protocol.work import work

pytestmark = pytest.mark.slow

FUSED = Ensemble("fused", ("spatial", "temporal"), "softmax", [0.5, 0.5])


def start(cache, folder):
    words = [sys.executable, killed_protocols.__file__, str(cache.root), str(folder)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def figures(folder):
    protocol = plan.recorded(folder)
    return summarise(protocol, outcomes(protocol, [FUSED]))


@pytest.fixture(scope="module")
def undisturbed(toy, tmp_path_factory):
    """The figures, and how many seconds they take."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert work(killed_protocols.begin(toy, folder), toy) == []
    return figures(folder), time.monotonic() - began


@pytest.mark.parametrize("seed", range(4))
def test_a_protocol_killed_at_any_moment_resumes_to_the_same_table(
    seed, toy, undisturbed, tmp_path
):
    expected, seconds = undisturbed
    rng = np.random.default_rng(seed)
    for _ in range(2):
        process = start(toy, tmp_path)
        process.stdout.readline()  # Python has started
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, seconds / 3))
        process.kill()
        process.communicate()
    process = start(toy, tmp_path)
    told, errors = process.communicate()
    assert told.splitlines()[-1:] == ["0 left"], errors[-2000:]
    assert figures(tmp_path) == expected
    assert not [path for path in Path(tmp_path).rglob("*") if path.name.endswith(".part")]


def test_two_processes_come_to_the_table_of_one(toy, undisturbed, tmp_path):
    processes = [start(toy, tmp_path) for _ in range(2)]
    ends = [process.communicate() for process in processes]
    assert all(process.returncode == 0 for process in processes), ends
    assert figures(tmp_path) == undisturbed[0]
