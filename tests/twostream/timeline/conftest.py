"""Runs that tell what moves from what is still, and the videos that they were trained on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from runs_on_videos import train_on_videos

from flowcache.cache.store import FlowCache
from twostream.runs.training_options import TrainOptions


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, options: Callable[..., TrainOptions]
) -> tuple[Path, FlowCache]:
    """See `train_on_videos`."""
    folder = tmp_path_factory.mktemp("timeline")
    return folder, train_on_videos(folder, options, epochs=8, subtract_mean=False)
