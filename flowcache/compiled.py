"""Functions compiled for this machine's processor, once, for all processes that need them.

Compiling takes seconds. What it gives is kept beside the package, or in the user's cache folder where
the package cannot be written to, so that later processes start at once; and processes that start side
by side wait for the first of them instead of all compiling the same.

Numba notices that a compiled function's own file has changed, and not that another has: a compiled
function must only call compiled functions of its own file.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(*signatures: str) -> Callable[[F], F]:
    """A decorator; `signatures` are compiled at import, in Numba's notation, one a set of types.

    Without a signature the function is for the calls of other compiled functions. Arithmetic is IEEE's:
    nothing is reordered or contracted, so that each processor computes the same. Division by zero gives
    infinity or NaN. Indices are not checked.
    """

    def decorate(function: F) -> F:
        dispatcher: Any = njit(function, nogil=True, error_model="numpy")
        folder = None
        if signatures:  # what these call is compiled into them, and needs no file of its own
            with suppress(RuntimeError):  # neither the package's folder nor the user's is writable
                dispatcher.enable_caching()
                folder = Path(dispatcher.stats.cache_path)
        with _alone(folder):
            for signature in signatures:
                dispatcher.compile(signature)
        result: F = dispatcher
        return result

    return decorate


@contextmanager
def _alone(folder: Path | None) -> Iterator[None]:
    """Hold the folder's lock, where there is a folder and its file system has locks."""
    if folder is None:
        yield
        return
    lock = FileLock(folder / "compiling.lock")
    with suppress(OSError, NotImplementedError):  # without one, each compiles for itself
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
