"""What the commands share that fill a cache or empty one: options, and how they are stopped."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from flowcache.cache.recipe import Recipe
from twostream.commands._click_options import POSITIVE, Decorator
from twostream.commands._shared import Jobs, errors


def jobs_option(things: str) -> Decorator:
    """`--jobs`: how many of these are done at once."""
    return click.option(
        "--jobs",
        type=Jobs(),
        default=-1,
        show_default=True,
        help=f"{things} at once; -1: all cores.",
    )


JPEG_QUALITY = click.option(
    "--jpeg-quality",
    type=int,
    default=Recipe.jpeg_quality,
    show_default=True,
    help="JPEG quality of the RGB frames, 1 to 100.",
)
TIMEOUT = click.option(
    "--timeout",
    type=POSITIVE,
    default=600.0,
    show_default=True,
    help="Seconds without progress after which a video is given up.",
)
SCHEDULER = click.option(
    "--scheduler", help="Address of a Dask scheduler, as tcp://host:8786: use its cluster."
)


@contextmanager
def resumable(what_is_kept: Callable[[], str]) -> Iterator[None]:
    """Within the block the work may be stopped, and it is said that the same command goes on with it.

    what_is_kept: says it when the work is stopped. SIGTERM and Ctrl-C end the process with the
    status that systems have for them; a full device remains the error that it is.
    """
    from flowcache.atomic import NoSpaceError

    try:
        with terminable():
            yield
    except (KeyboardInterrupt, SystemExit, NoSpaceError) as stop:
        told = f"stopped: {what_is_kept()}; the same command goes on with the rest"
        errors.print(told, soft_wrap=True)
        if isinstance(stop, KeyboardInterrupt):
            sys.exit(128 + signal.SIGINT)
        raise


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM stops the work as Ctrl-C does, so that nothing half-written stays."""
    if threading.current_thread() is not threading.main_thread():  # only that may set handlers
        yield
        return

    def stop(number: int, _: Any) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
