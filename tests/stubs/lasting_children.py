"""Child processes that serve many tests: to start one, and to load what it needs, takes it a second."""

import os
from collections.abc import Callable
from typing import Any, Self

from flowcache.workers.isolation import Children

_shared: list[Children] = []


class LastingChildren:
    """In place of `Children`: it takes those that earlier tests have left, and leaves them to later ones.

    What a child inherits when it starts, such as limits and the environment, is that of an earlier test;
    its working directory is that of the caller.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, function: Callable[..., Any], *args: Any, **how: Any) -> Any:
        """See `Children.run`."""
        if not _shared:
            _shared.append(Children())
        return _shared[0].run(call_in_folder, os.getcwd(), function, args, **how)  # noqa: PTH109

    def close(self) -> None:
        """Nothing: a call that is under way goes on to its end."""


def end_all() -> None:
    """When no test needs them any more."""
    while _shared:
        _shared.pop().close()


def call_in_folder(
    folder: str, function: Callable[..., Any], args: tuple[Any, ...], report: Callable[[Any], None]
) -> Any:
    """The call, in a child."""
    os.chdir(folder)
    return function(*args, report)
