"""Trainings and evaluations killed at any moment: what is there is whole, and the end is the same."""

import json
import subprocess
import sys
from pathlib import Path

import killed_runs
import pytest
from called_commands import succeed
from made_videos import write_two_classes


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of two classes."""
    folder = tmp_path_factory.mktemp("killed")
    write_two_classes(folder / "videos", 6)
    succeed(
        f"extract-flow {folder / 'videos'} --cache {folder / 'cache'} --algorithm farneback --jobs 1"
    )
    return folder / "cache"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "count"), [(0, 6), pytest.param(100, 100, marks=pytest.mark.faults)]
)
def test_killed_runs_go_on_to_the_same_result(first, count, cache, tmp_path):
    words = [sys.executable, str(Path(killed_runs.__file__)), str(cache), str(tmp_path)]
    told = subprocess.run(
        [*words, str(first), str(count)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr[-2000:]
    lines = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == count
    for line in lines:
        assert line["readable"], line
        assert line["same"], line
        assert line["left"] == [], line
    print(sum(line["ended"] != 0 for line in lines), "of", count, "were killed before their end")
