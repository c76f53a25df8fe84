import os
from collections.abc import Callable
from pathlib import Path

import cv2
import made_entries as entries
import made_videos as made
import numpy as np
import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread_each():
    # The tests run side by side, and their frames are too small to be divided.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Callable[[made.Format], Path]:
    """One video of numbered frames for each format, written when first asked for."""
    folder, done = tmp_path_factory.mktemp("formats"), {}

    def get(how: made.Format) -> Path:
        name = str(how)
        if name not in done:
            path = folder / f"{len(done)}{how.suffix}"
            done[name] = made.write_video(path, made.numbered_frames(made.COUNT), how)
        return done[name]

    return get


@pytest.fixture
def rgb():
    stack = made.moving_scene(9, 45, 61, 1.2, -0.6)
    tint = np.array([0.9, 0.8, 0.7]) * stack[..., None] + [10, 35, 70]
    return np.clip(tint, 0, 255).astype(np.uint8)


@pytest.fixture
def entry_path(tmp_path, recipe, rgb):
    path = tmp_path / "cache" / "a" / "v.h5"
    entries.write(path, recipe(), entries.smooth_flow(8, 45, 61), rgb)
    return path


@pytest.fixture
def one_opencv_thread():
    """As extraction has it."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture
def lock_folders(monkeypatch):
    """Makes all folders of a name unreadable, also for root, who may read everything."""
    real = os.scandir

    def lock(name):
        def scandir(folder):
            if Path(folder).name == name:
                raise PermissionError(13, "Permission denied")
            return real(folder)

        monkeypatch.setattr(os, "scandir", scandir)

    return lock


@pytest.fixture
def limit_file_size():
    """Sets how many bytes a file may have, here and in children; beyond, it is as on a full device."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
