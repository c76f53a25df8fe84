import made_entries as entries
import numpy as np
import pytest

from flowcache.exchange.import_many import import_flow


@pytest.fixture
def take(tmp_path):
    """`import_flow` of the folder `flow` without frames, one at a time; gives the summary."""

    def call(folder="flow", cache="cache", **given):
        values = {"frames": False, "jobs": 1, "bound": 20.0} | given
        place = folder if folder == ".." else tmp_path / folder
        return import_flow(place, tmp_path / cache, **values)

    return call


@pytest.fixture
def reasons():
    """Why each video of a summary failed, by its name."""
    return lambda summary: {one.job.name: one.reason for one in summary.failures}


@pytest.fixture
def flow():
    """Five fields of 18×26 pixels, some of it beyond 20 px, with a component of its own each."""
    fields = entries.smooth_flow(5, 18, 26, scale=8.0)
    fields[:, 1] *= -0.5
    return np.ascontiguousarray(fields, np.float32)
