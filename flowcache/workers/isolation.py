"""Run functions in child interpreters that may crash or hang without taking anything else along.

Decoders are native code fed with whatever lies in a file. A pool of processes loses all its work when
one of them dies, so each call here has a child of its own, which is replaced when it dies or is killed.
Plain `subprocess` starts them, because the worker processes of a cluster are not allowed to start
children by `multiprocessing`.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self
from weakref import WeakValueDictionary

import cloudpickle

from flowcache.errors import UserError, printable
from flowcache.workers import protocol

Report = Callable[[Any], None]

_IDLE_SECONDS = 10.0  # after which a child that nobody uses is ended
_FILE_SECONDS = 600.0  # that one file may go without progress
_LAST_SECONDS = 10.0  # that a child which has hung up may take to end by itself


class CrashedError(Exception):
    """The child died; the message says of what."""


class TimedOutError(Exception):
    """The child gave no sign of life for too long, and was killed."""


class Children:
    """The children of one owner, for one call each at a time. They end with the `with` block.

    A child serves again once its call has ended. It does not where the caller gave up before, since
    what it sends next would be taken for the answer to another call.

    Sent to another process, as to the workers of a cluster, this becomes the children of that process;
    they are ended when they have been idle for a while.
    """

    def __init__(self, identity: str = "") -> None:
        self._identity = identity or uuid.uuid4().hex
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._timer: threading.Timer | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return _of_this_process, (self._identity,)

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        timeout: float | None,
        on_report: Report | None = None,
    ) -> Any:
        """`function(*args, report)` in a child; what it returns or raises comes back.

        It may call `report(value)`, which calls `on_report(value)` here and is its sign of life. Raises
        CrashedError where the child dies, and TimedOutError after `timeout` seconds without a sign of
        life; None is for ever.
        """
        child = self._take()
        try:
            return child.call(function, args, timeout, on_report)
        finally:
            self._give_back(child)

    def close(self) -> None:
        """End every child, busy or idle. A call that is under way raises CrashedError."""
        with self._lock:
            self._closed = True
            children = list(self._all)
            self._forget(children)
        for child in children:
            child.kill()

    def _take(self) -> "Child":
        with self._lock:
            if self._closed:
                raise CrashedError("the work that it belongs to has ended")
            while self._idle:
                child = self._idle.pop()
                if child.alive:
                    return child
                self._all.discard(child)
            child = Child()
            self._all.add(child)
            return child

    def _give_back(self, child: "Child") -> None:
        if child.busy:
            child.kill()
        with self._lock:
            if self._closed or child.busy or not child.alive:
                self._all.discard(child)
                return
            self._idle.append(child)
            if self._timer:
                self._timer.cancel()
            self._timer = threading.Timer(_IDLE_SECONDS, self._end_idle)
            self._timer.daemon = True
            self._timer.start()

    def _end_idle(self) -> None:
        with self._lock:
            children = list(self._idle)
            self._forget(children)
        for child in children:
            child.kill()

    def _forget(self, children: "list[Child]") -> None:
        self._all.difference_update(children)
        self._idle.clear()
        if self._timer:
            self._timer.cancel()


def run_for_file(
    path: Path, function: Callable[..., Any], *args: Any, on_report: Report | None = None
) -> Any:
    """`function(*args, report)` in a child that a broken file may take along; see `Children.run`.

    Raises UserError, which names the file, for a UserError of the function and for the child's end.
    """
    with Children() as children:
        try:
            return children.run(function, *args, timeout=_FILE_SECONDS, on_report=on_report)
        except (UserError, CrashedError, TimedOutError) as error:
            raise UserError(
                f"{printable(path)}: {error}", getattr(error, "parameter", None)
            ) from error


_elsewhere: WeakValueDictionary[str, Children] = WeakValueDictionary()
_elsewhere_lock = threading.Lock()


def _of_this_process(identity: str) -> Children:
    """The children that an owner in another process has here."""
    with _elsewhere_lock:
        return _elsewhere.setdefault(identity, Children(identity))


class Child:
    """One child interpreter. It ends when this process does, however that ends."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        # Nothing that lies in the working directory may be imported in place of the real module.
        code = (
            "import sys; sys.path[:] = sys.argv[2:]; "
            "from flowcache.workers.isolation import serve_calls; serve_calls(int(sys.argv[1]))"
        )
        with theirs, _interrupts_held_back():
            handle = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, str(handle), *import_path()],
                stdin=subprocess.DEVNULL,
                pass_fds=[handle],
            )
        self.busy = False

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def start(self, function: Callable[..., Any], *args: Any) -> None:
        """Begin a call; `next_message` tells what becomes of it."""
        # By value where it must be: an algorithm may be a class of a notebook.
        call = cloudpickle.dumps((function, args))
        self.busy = True
        with suppress(OSError):  # it died, and the next message says so
            self._connection.send_bytes(call)

    def has_message(self) -> bool:
        """Whether a message is there, or the end of all."""
        try:
            return self._connection.poll(0)
        except OSError:
            return True

    def next_message(self, timeout: float | None) -> tuple[bytes, Any]:
        """The kind of the next message, see `protocol`, and its value.

        Raises CrashedError where the child dies, TimedOutError where nothing comes in time; then it is
        killed. Raises UnreadableAnswerError for a value that cannot be unpickled.
        """
        try:
            if not self._connection.poll(timeout):
                self.kill()
                raise TimedOutError(f"no progress for {timeout:g} s")
            kind, value = protocol.split_message(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise CrashedError(self._cause_of_death()) from None
        if kind in (protocol.RESULT, protocol.RAISED):
            self.busy = False
        return kind, protocol.read_value(value)

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        timeout: float | None,
        on_report: Report | None,
    ) -> Any:
        """Begin a call and wait for its end; see `Children.run`."""
        self.start(function, *args)
        while True:
            kind, value = self.next_message(timeout)
            if kind == protocol.RESULT:
                return value
            if kind == protocol.RAISED:
                raise value
            if kind == protocol.REPORT and on_report:
                on_report(value)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _cause_of_death(self) -> str:
        try:
            status = self._process.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return "the process hung up"
        if status >= 0:
            return f"the process ended with status {status}"
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"the process died of {name}"


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Children that are started here inherit it: the parent decides what an interrupt means."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def import_path() -> list[str]:
    """Where a child looks for modules: where this process does, but in the working directory last.

    The standard library comes first and then this package, so that neither a file that lies beside the
    videos nor another installed version takes their place.
    """
    here = {"", str(Path.cwd())}
    library = str(Path(os.__file__).parent)
    standard = [p for p in sys.path if p == library or p.endswith(("lib-dynload", ".zip"))]
    package = str(Path(__file__).parents[2])
    others = [p for p in sys.path if p not in here]
    return list(dict.fromkeys([*standard, package, *others, str(Path.cwd())]))


def serve_calls(handle: int) -> None:
    """The child's life: answer one call after another until the parent is gone."""
    os.dup2(2, 1)  # what is printed here is no part of what the parent prints
    connection = Connection(handle)
    sending = threading.Lock()

    def send(kind: bytes, value: Any) -> None:
        with sending:  # a call may report from several threads
            protocol.send_message(connection, kind, value)

    calls: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read_calls, args=(connection, calls), daemon=True).start()
    while True:
        call = calls.get()
        try:
            function, args = pickle.loads(call)
            send(protocol.STARTED, None)  # what had to be imported is no part of the work's time
            send(protocol.RESULT, function(*args, lambda value: send(protocol.REPORT, value)))
        except Exception as error:
            send(protocol.RAISED, _picklable(error))


def _read_calls(connection: Connection, calls: "SimpleQueue[bytes]") -> None:
    try:
        while True:
            calls.put(connection.recv_bytes())
    finally:
        os._exit(0)  # the parent is gone, and nobody waits for what is under way


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
