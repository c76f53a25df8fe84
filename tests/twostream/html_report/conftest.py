"""Runs whose scores are known, and a browser without a window."""

import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_scores import told_streams

from twostream.scoring.scores import Scores

NAMES = ('<script>alert("x")</script>', "R&D 'n' \"more\"", "a\\b {{ 7 * 7 }} $x$", "日本")
"""Names of classes that a page must not take for anything else."""

WriteRuns = Callable[..., list[Path]]


def named(scores: Scores, names: Sequence[str]) -> Scores:
    """The same with other names of the first classes, also as folders of the videos."""
    classes = (*names, *scores.classes[len(names) :])
    ids = tuple(f"{classes[k]}/v {i}" for i, k in enumerate(scores.labels))
    return replace(scores, classes=classes, ids=ids)


@pytest.fixture(scope="session")
def write_runs(tmp_path_factory: pytest.TempPathFactory) -> WriteRuns:
    """Folders with the scores of streams, and those of one epoch's losses for the first alone."""

    def write(streams: Sequence[Scores], held_out: Sequence[Scores] = ()) -> list[Path]:
        root = tmp_path_factory.mktemp("runs")
        folders = [root / one.name for one in streams]
        for folder, one in zip(folders, streams, strict=True):
            one.save(folder / "scores.npz")
        for folder, one in zip(folders, held_out, strict=bool(held_out)):
            one.save(folder / "validation_scores.npz")
        with (folders[0] / "metrics.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", "train_loss", "train_top1", "val_loss", "seconds"])
            writer.writerows([[1, 1.5, 0.25, 1.25, 9], [2, 0.75, 0.5, 1.125, 9]])
        return folders

    return write


@pytest.fixture(scope="session")
def runs(write_runs: WriteRuns) -> list[Path]:
    """Two runs with classes of difficult names, and with ties of two kinds.

    Most logits are halves. Of six videos two classes differ by so little that 32 bits cannot hold it.
    """
    streams = []
    for one in told_streams(seed=3, n=48, k=6, tells=(1.0, 1.2)):
        logits = (np.round(2 * one.logits) / 2).astype(np.float32)
        logits[:6] = -5
        logits[range(6), one.labels[:6]] = 1e-8
        logits[range(6), (one.labels[:6] + 1) % 6] = 0
        streams.append(named(replace(one, logits=logits), NAMES))
    return write_runs(streams, told_streams(seed=4, n=30, k=6, part="held out"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium with its driver; tests that need it are skipped where it is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    names = ("chromium", "chromium-browser", "google-chrome")
    binary = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("there is no Chromium with chromedriver: install both to test the page in it")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()
