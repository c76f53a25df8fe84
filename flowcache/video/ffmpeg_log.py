"""What FFmpeg logs as an error: damage that a decoder conceals is often told in no other way."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av.logging

_lock = threading.Lock()
_collecting = 0  # how many blocks, in all threads
_before: tuple[int | None, bool] = None, True  # the settings outside of all blocks


@contextmanager
def logged_errors() -> Iterator[list[tuple[str, str]]]:
    """Collect the errors that FFmpeg logs in this thread while the block runs: (who, message).

    The list is filled when the block ends. FFmpeg's log belongs to the whole process, so its level is
    raised for the block alone. What is less than an error goes where it would have gone.
    """
    errors: list[tuple[str, str]] = []
    _begin()
    try:
        with av.logging.Capture(local=True) as logs:
            yield errors
    finally:
        _end()
    for level, who, message in logs:
        if level <= av.logging.ERROR:
            errors.append((who, " ".join(message.split())))
        else:
            logging.getLogger(f"libav.{who or 'generic'}").log(
                av.logging.adapt_level(level), message.strip()
            )


def _begin() -> None:
    global _collecting, _before
    with _lock:
        if _collecting == 0:
            _before = av.logging.get_level(), av.logging.get_skip_repeated()
            av.logging.set_level(max(av.logging.ERROR, _before[0] or 0))
            # The same error in the next video is an error too.
            av.logging.set_skip_repeated(False)
        _collecting += 1


def _end() -> None:
    global _collecting
    with _lock:
        _collecting -= 1
        if _collecting == 0:
            av.logging.set_level(_before[0])
            av.logging.set_skip_repeated(_before[1])
