"""Run functions in child interpreters that may crash or hang without taking anything else along.

Decoders are native code fed with whatever lies in a file. A pool of processes loses all its work when
one of them dies, so each worker here owns one child, which is replaced when it dies or is killed.
Plain `subprocess` is used because a cluster's worker processes are not allowed to start
`multiprocessing` children.
"""

import atexit
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

Report = Callable[[Any], None]


class CrashedError(Exception):
    """The child died; the message says of what."""


class TimedOutError(Exception):
    """The child gave no sign of life for too long, and was killed."""


def run(
    function: Callable[..., Any],
    *args: Any,
    timeout: float | None,
    on_report: Report | None = None,
) -> Any:
    """`function(*args, report)` in a child process; what it returns or raises comes back.

    The function and its arguments are pickled. It may call `report(value)` now and then, which calls
    `on_report(value)` here and is its sign of life. Raises CrashedError where the process dies, and
    TimedOutError after `timeout` seconds without a sign of life; None is for ever.
    """
    child = _borrow()
    try:
        return child.call(function, args, timeout, on_report)
    finally:
        _give_back(child)


class _Child:
    def __init__(self) -> None:
        paths = os.pathsep.join(p or os.getcwd() for p in sys.path)  # noqa: PTH109
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from flowcache.workers.isolation import _serve; _serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self._replies: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._receive, daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        timeout: float | None,
        on_report: Report | None,
    ) -> Any:
        assert self._process.stdin is not None
        try:
            # Pickled twice, so that what cannot be imported there is an error and not a crash.
            pickle.dump(pickle.dumps((function, args)), self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died; the replies end and say so
        while True:
            try:
                kind, value = self._replies.get(timeout=timeout)
            except queue.Empty:
                self.kill()
                raise TimedOutError(f"no progress for {timeout:g} s") from None
            if kind == "result":
                return value
            if kind == "raised":
                raise value
            if kind == "ended":
                raise CrashedError(_cause_of_death(self._process.wait()))
            if kind == "report" and on_report:
                on_report(value)

    def _receive(self) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                self._replies.put(pickle.load(self._process.stdout))
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self._replies.put(("ended", None))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


_idle: list[_Child] = []
_all: set[_Child] = set()
_lock = threading.Lock()


def _borrow() -> _Child:
    with _lock:
        while _idle:
            child = _idle.pop()
            if child.alive:
                return child
            _all.discard(child)
        child = _Child()
        _all.add(child)
        return child


def _give_back(child: _Child) -> None:
    with _lock:
        if child.alive:
            _idle.append(child)
        else:
            _all.discard(child)


@atexit.register
def kill_all() -> None:
    """End every child, busy or idle; the next `run` starts new ones."""
    with _lock:
        children = list(_all)
        _all.clear()
        _idle.clear()
    for child in children:
        child.kill()


def _cause_of_death(status: int) -> str:
    if status >= 0:
        return f"the process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"the process died of {name}"


def _serve() -> None:
    """The child's life: answer one request after another until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever native code prints must not land among the replies

    def send(kind: str, value: Any) -> None:
        replies.write(pickle.dumps((kind, value)))  # pickled first: half a reply would be the end
        replies.flush()

    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def receive() -> None:
        try:
            while True:
                requests.put(pickle.load(sys.stdin.buffer))
        finally:
            os._exit(0)  # the parent is gone, and nobody waits for what is under way

    threading.Thread(target=receive, daemon=True).start()
    while True:
        request = requests.get()
        try:
            function, args = pickle.loads(request)
            send("started", None)  # what had to be imported is no part of the work's time
            send("result", function(*args, lambda value: send("report", value)))
        except Exception as error:
            send("raised", _picklable(error))


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
