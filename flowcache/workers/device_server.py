"""The process of a device: flow for all videos that are being extracted, in batches that fill it.

The process of each video has two connections. A thread for each reads a window of frames into memory
that the device reads from, waits for its fields and sends them back. The main thread collects what
waits into batches of one frame size, and keeps two batches under way (double buffer).
"""

import os
import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from queue import Empty, SimpleQueue
from typing import Any, cast

from flowcache.algorithms._batched.contract import BatchedAlgorithm, Session
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.types import Codes
from flowcache.workers import protocol

READY, NOTE, FAILED = "ready", "note", "failed"
"""What it reports: where it listens; what a user should know; why it ends."""

Report = Callable[[tuple[str, Any]], None]
Answer = tuple[Codes, int] | str
Requests = SimpleQueue["Request"]


@dataclass(frozen=True, eq=False)
class Request:
    """One window of gray frames, and what becomes of it."""

    shape: tuple[int, int, int]
    stack: Any
    answer: "Future[Answer]" = field(default_factory=Future)


def serve(recipe: Recipe, device: str, timeout: float, report: Report) -> None:
    """Answer requests until the process is ended, or a batch takes more than `timeout` seconds."""
    try:
        algorithm = cast(BatchedAlgorithm, recipe.create_algorithm())
        session = algorithm.on(device, recipe.quantizer, lambda text: report((NOTE, text)))
        _try(session, recipe.frame_step)
        requests: Requests = SimpleQueue()
        key = secrets.token_bytes(32)
        listener = Listener(_unused_address(), "AF_UNIX", backlog=128, authkey=key)
        _in_thread(report, _accept, listener, session, requests, report)
        report((READY, (listener.address, key)))
        _compute(requests, session, recipe.frame_step, timeout, report)
    except BaseException as error:
        _fail(error, report)


def next_batch(
    waiting: Sequence[Request], room: Callable[[int, int], int]
) -> tuple[list[Request], list[Request]]:
    """The requests of one frame size, the oldest first, that fill a device's room, and the others."""
    size = waiting[0].shape[1:]
    left = room(*size)
    batch: list[Request] = []
    others: list[Request] = []
    for request in waiting:
        if request.shape[1:] == size and left > 0:
            batch.append(request)
            left -= request.shape[0]
        else:
            others.append(request)
    return batch, others


def _compute(
    requests: Requests, session: Session, step: int, timeout: float, report: Report
) -> None:
    waiting: list[Request] = []
    finish_previous: Callable[[], None] | None = None
    while True:
        if not waiting and not finish_previous:
            waiting.append(requests.get())
        waiting += _available(requests)
        finish: Callable[[], None] | None = None
        with _limit(timeout, report):
            if waiting:
                batch, waiting = next_batch(waiting, session.room)
                finish = _start(batch, session, step)
            if finish_previous:
                finish_previous()
        finish_previous = finish


def _start(batch: Sequence[Request], session: Session, step: int) -> Callable[[], None] | None:
    """Begin a batch; the function returned waits for its end and gives the answers."""
    try:
        wait = session.start([request.stack for request in batch], step)
    except UserError as error:
        for request in batch:
            request.answer.set_result(str(error))
        return None

    def finish() -> None:
        for request, answer in zip(batch, wait(), strict=True):
            request.answer.set_result(answer)

    return finish


def _available(requests: Requests) -> Iterator[Request]:
    try:
        while True:
            yield requests.get_nowait()
    except Empty:
        pass


def _accept(listener: Listener, session: Session, requests: Requests, report: Report) -> None:
    while True:
        try:
            connection = listener.accept()
        except (OSError, EOFError, AuthenticationError):
            continue  # the video's process ended meanwhile
        _in_thread(report, _answer, connection, session, requests)


def _answer(connection: Connection, session: Session, requests: Requests) -> None:
    """One window after the other, until the video's process hangs up."""
    with connection:
        try:
            while True:
                shape = protocol.receive_shape(connection)
                request = Request(shape, session.stack(shape))
                protocol.receive_into(connection, request.stack.numpy())
                requests.put(request)
                protocol.send_answer(connection, request.answer.result())
        except (OSError, EOFError):
            pass


def _try(session: Session, step: int) -> None:
    """Compute one small pair: kernels are compiled, and what a device cannot do shows at once."""
    stack = session.stack((1 + step, 64, 64))
    stack.numpy()[...] = 0
    session.start([stack], step)()


def _unused_address() -> str | None:
    """On Linux a name that leaves no file behind, however the process ends."""
    return f"\0twostream-{secrets.token_hex(16)}" if sys.platform == "linux" else None


@contextmanager
def _limit(seconds: float, report: Report) -> Iterator[None]:
    """End the process where the block takes longer: devices can hang."""
    late = UserError(f"no progress for {seconds:g} s")
    timer = threading.Timer(seconds, _fail, [late, report])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _in_thread(report: Report, work: Callable[..., None], *args: Any) -> None:
    def run() -> None:
        try:
            work(*args)
        except BaseException as error:
            _fail(error, report)

    threading.Thread(target=run, daemon=True).start()


def _fail(error: BaseException, report: Report) -> None:
    """End the process: after an error of the device nothing that it computes can be trusted."""
    reason = str(error).partition("\n")[0]
    if not isinstance(error, UserError):
        traceback.print_exception(error)
        reason = f"{type(error).__name__}: {reason}"
    report((FAILED, reason))
    os._exit(1)
