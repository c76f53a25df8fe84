"""The process of a device: flow for all videos that are being extracted, in batches that fill it.

Each video's process is a client with a connection of its own, with a thread that reads frames from it
into memory that the device reads from and another that writes answers. Between them two more wait: one
collects what is there into batches and starts them, one waits for them to end. No client is waited for.
"""

import os
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread, Timer
from typing import Any, cast

from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.types import Codes, DeviceAlgorithm, Session
from flowcache.workers.client import ANSWER, REQUEST, receive

READY = "ready"
Report = Callable[[tuple[str, str]], None]


def serve(address: str, recipe: Recipe, device: str, timeout: float, report: Report) -> None:
    """Answer at an address until the process is ended, or a batch takes more than `timeout` seconds.

    Reports READY when it can be connected to, ("note", …) with what a user should know, and ("failed",
    reason) before it ends because of an error.
    """
    try:
        algorithm = cast(DeviceAlgorithm, recipe.create_algorithm())
        session = algorithm.on(device, recipe.quantizer, lambda text: report(("note", text)))
        with _limit(timeout, report):
            _try(session, recipe.frame_step)
        requests: SimpleQueue[_Request] = SimpleQueue()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen(128)
        _in_thread(partial(_accept, listener, session, requests, report), report)
        started: SimpleQueue[Any] = SimpleQueue()
        another = Semaphore(1)
        _in_thread(partial(_finish, started, another, timeout, report), report)
        report((READY, device))
        for batch in _batches(requests, session):
            try:
                finish = session.start([r.stack for r in batch], recipe.frame_step)
            except UserError as error:
                for request in batch:
                    request.client.answers.put(str(error))
            else:
                started.put((batch, finish))
                another.acquire()  # two are under way at most; meanwhile more requests come in
    except BaseException as error:
        _fail(error, report)


class _Client:
    """One video's process."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.answers: SimpleQueue[tuple[Codes, int] | str | None] = SimpleQueue()

    def read(self, session: Session, requests: "SimpleQueue[_Request]") -> None:
        try:
            while True:
                shape = REQUEST.unpack(receive(self.connection, bytearray(REQUEST.size)))
                stack = session.stack(shape)
                receive(self.connection, stack.numpy().reshape(-1).data)
                requests.put(_Request(self, shape, stack))
        except (OSError, EOFError):
            self.answers.put(None)

    def write(self) -> None:
        try:
            while (answer := self.answers.get()) is not None:
                if isinstance(answer, str):
                    text = answer.encode()
                    self.connection.sendall(ANSWER.pack(-1, len(text)) + text)
                else:
                    codes, saturated = answer
                    self.connection.sendall(ANSWER.pack(len(codes), saturated))
                    self.connection.sendall(codes.reshape(-1).view("u1").data)
        except OSError:
            pass  # it has ended, and nobody waits for the rest
        finally:
            self.connection.close()


@dataclass(frozen=True, eq=False)
class _Request:
    client: _Client
    shape: tuple[int, int, int]
    stack: Any


def _accept(
    listener: socket.socket, session: Session, requests: "SimpleQueue[_Request]", report: Report
) -> None:
    while True:
        client = _Client(listener.accept()[0])
        _in_thread(partial(client.read, session, requests), report)
        _in_thread(client.write, report)


def _batches(requests: "SimpleQueue[_Request]", session: Session) -> Iterator[list[_Request]]:
    """What waits, in groups of one frame size that are as large as the device has room for."""
    waiting: list[_Request] = []
    while True:
        if not waiting:
            waiting.append(requests.get())
        try:
            while True:
                waiting.append(requests.get_nowait())
        except Empty:
            pass
        size = waiting[0].shape[1:]
        room = session.room(*size)
        batch: list[_Request] = []
        for request in waiting:
            if request.shape[1:] == size and room > 0:
                batch.append(request)
                room -= request.shape[0]
        waiting = [request for request in waiting if request not in batch]
        yield batch


def _try(session: Session, step: int) -> None:
    """Compute one small pair: what a device cannot do, it cannot do at once, and kernels get compiled."""
    stack = session.stack((1 + step, 64, 64))
    stack.numpy()[...] = 0
    session.start([stack], step)()


def _finish(
    started: "SimpleQueue[Any]", another: Semaphore, timeout: float, report: Report
) -> None:
    while True:
        batch, finish = started.get()
        with _limit(timeout, report):
            answers = finish()
        another.release()
        for request, answer in zip(batch, answers, strict=True):
            request.client.answers.put(answer)


@contextmanager
def _limit(seconds: float, report: Report) -> Iterator[None]:
    """End the process where the block takes longer: devices can hang."""
    late = UserError(f"no progress for {seconds:g} s")
    timer = Timer(seconds, _fail, [late, report])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _in_thread(work: Callable[[], None], report: Report) -> None:
    def run() -> None:
        try:
            work()
        except BaseException as error:
            _fail(error, report)

    Thread(target=run, daemon=True).start()


def _fail(error: BaseException, report: Report) -> None:
    """End the process: after an error of the device nothing that it computes can be trusted."""
    reason = str(error).partition("\n")[0]
    if not isinstance(error, UserError):
        traceback.print_exception(error)
        reason = f"{type(error).__name__}: {reason}"
    report(("failed", reason))
    os._exit(1)
