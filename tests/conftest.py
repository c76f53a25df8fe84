"""What the tests share: where the real videos lie, and how to make small ones."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
# Stubs that run in child processes must be importable there by name; children get this path.
sys.path.insert(0, str(Path(__file__).parent / "stubs"))


# A machine may be busy: how long an example takes says nothing about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `gpu` are skipped where PyTorch has no GPU."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no GPU here")


@pytest.fixture(scope="session")
def _children_of_all_tests() -> Iterator[type]:
    import lasting_children

    yield lasting_children.LastingChildren
    lasting_children.end_all()


@pytest.fixture
def lasting_children(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    _children_of_all_tests: type,
) -> None:
    """Videos are processed by children that last from test to test.

    They are not where a test is marked `own_children`, since it is about how they start or end.
    """
    if not request.node.get_closest_marker("own_children"):
        for module in ("flowcache.extraction.many", "flowcache.workers.isolation"):
            monkeypatch.setattr(f"{module}.Children", _children_of_all_tests)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """Real videos and images, which are not part of the project."""
    folder = Path(os.environ.get("TWOSTREAM_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}: set TWOSTREAM_TEST_DATA to the folder that has it")
    return folder


@pytest.fixture(scope="session")
def recipe() -> Callable[..., Any]:
    """Recipes of `farneback` at full size, but for what a test says."""
    from flowcache.cache.recipe import Recipe

    def make(algorithm: str = "farneback", options: Any = (), **changes: Any) -> Recipe:
        return Recipe.of(algorithm, dict(options), **changes)

    return make
