"""Read a damaged entry in a child process, and compare it with the whole one; see `fault_campaign`."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from flowcache.cache.entry import Entry
from flowcache.cache.store import FlowCache


def read(whole: Path, damaged: bytes) -> bool:
    """Whether damaged bytes say all that the whole entry says. `verify` has to refuse them anyway."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "v.h5"
        path.write_bytes(damaged)
        (problem,) = [problem for _, problem in FlowCache(folder, _read(whole)[0].recipe).verify(1)]
        if not problem or len(problem) > 1000 or "Error" in problem:
            raise AssertionError(f"verify says {problem!r}")
        return _equal(_contents(path), _read(whole))


@cache
def _read(whole):
    return _contents(whole)


def _contents(path):
    with Entry(path) as entry:
        return entry.info, entry.codes[:], entry.rgb[:], entry.times, entry.flow_means


def _equal(found, expected):
    (info, *arrays), (expected_info, *expected_arrays) = found, expected
    return info == expected_info and all(map(np.array_equal, arrays, expected_arrays))
