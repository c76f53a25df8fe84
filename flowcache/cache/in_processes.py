"""A function over many entries, in processes that joblib keeps from one call to the next."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import joblib

T = TypeVar("T")


def in_processes(
    jobs: int, function: Callable[..., T], arguments: Iterable[tuple[Any, ...]]
) -> Iterator[T]:
    """What the function returns for each, in their order.

    jobs: how many at once, as joblib counts: −1 is one for each core.
    """
    folder = Path.cwd()
    tasks = (joblib.delayed(_within)(folder, function, *each) for each in arguments)
    results: Iterator[T] = joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks)
    return results


def _within(folder: Path, function: Callable[..., T], *arguments: Any) -> T:
    # A process that was kept is still in the folder in which it began, and paths may be relative.
    with contextlib.chdir(folder):
        return function(*arguments)
