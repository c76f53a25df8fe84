"""A folder in which the four commands have run, once for all tests of the commands."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from called_commands import SMALL, succeed
from made_videos import MJPEG_AVI, moving_scene, write_video


class Finished(NamedTuple):
    """The folder, and what each of the four commands printed."""

    folder: Path
    printed: Sequence[str]


def make_videos(folder: Path, count: int = 4) -> None:
    """Two classes that differ in brightness and in motion."""
    for name, speed, light in (("still", 0.0, 0.5), ("moving", 3.0, 1.0)):
        for n in range(count):
            frames = moving_scene(9, 48, 64, speed, 0.0, seed=n) * light
            path = folder / name / f"v_{name}_g{n + 1:02}_c01.avi"
            write_video(path, frames.astype(np.uint8), MJPEG_AVI)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A folder in which the four commands have run; what is in it must stay."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work")
    make_videos(folder / "videos")
    before = Path.cwd()
    os.chdir(folder)
    try:
        printed = [
            succeed("extract-flow videos/"),
            succeed(f"train --stream spatial {SMALL}"),
            succeed(f"train --stream temporal {SMALL}"),
            succeed("fuse --weights 0.5"),
        ]
    finally:
        os.chdir(before)
    return Finished(folder, printed)


@pytest.fixture
def work(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder as the current one; what is in it must stay."""
    monkeypatch.chdir(finished.folder)
    return finished.folder


@pytest.fixture
def copy(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder as the current one."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def few_videos(tmp_path: Path) -> Path:
    """A folder with nothing but three videos of each class, under `videos`."""
    make_videos(tmp_path / "few" / "videos", count=3)
    return tmp_path / "few"
