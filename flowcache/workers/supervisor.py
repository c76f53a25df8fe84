"""The processes of the devices, as the extraction that starts them sees them."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.workers import isolation
from flowcache.workers.client import DeviceLostError
from flowcache.workers.server import READY, serve

_LAST_WORDS = 30.0  # seconds after which a process that hung up should have ended
_LONGEST_ADDRESS = 90  # characters; some 107 is the system's limit
_ENDED = "the extraction has ended"
_FRUITLESS = 5  # so often a device's process may end before a single video was done


class UnusableDeviceError(UserError):
    """No device computes; no video can be done."""


class DevicePool:
    """One process for each device, started when first needed; videos are shared out between them.

    A process that ends is started again; a device that cannot be used is left out. `timeout`: seconds
    that a batch may take. `on_note` is told in words what a user should know.
    """

    def __init__(
        self,
        recipe: Recipe,
        devices: Sequence[str],
        timeout: float,
        on_note: Callable[[str], None],
    ) -> None:
        self._recipe, self._devices, self._timeout = recipe, devices, timeout
        self._on_note = on_note
        self._changed = threading.Condition()
        self._processes: list[_Process] = []
        self._started = self._fruitless = 0
        self._closed, self._refusal = False, ""

    def __enter__(self) -> Self:
        short = len(tempfile.gettempdir()) < _LONGEST_ADDRESS - 30
        self._folder = tempfile.TemporaryDirectory(
            prefix="twostream-", dir=None if short else "/tmp"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._folder.cleanup()

    def close(self) -> None:
        """Start no process any more."""
        self._closed = True

    @contextmanager
    def lent(self, *, alone: bool = False) -> Iterator[str]:
        """The address of the process with the least to do, or of one that does nothing else meanwhile.

        Raises UnusableDeviceError where there is none; DeviceLostErrors that pass get the reason.
        """
        with self._changed:
            process = self._borrow(alone)
        try:
            yield process.address
            self._fruitless = 0
        except DeviceLostError:
            process.ended.wait(_LAST_WORDS)  # else it would be lent again before that is known
            reason = process.reason or "it hung up"
            raise DeviceLostError(f"the process of {process.device} ended: {reason}") from None
        finally:
            with self._changed:
                process.users -= 1
                if alone:
                    process.alone = False
                self._changed.notify_all()

    def _borrow(self, alone: bool) -> "_Process":
        if not self._started:
            self._processes = [self._start(device) for device in self._devices]
            self._wait_for_all()
        while True:
            while self._processes and all(p.alone for p in self._processes):
                self._wait()
            if not self._processes:
                raise UnusableDeviceError(self._refusal)
            free = [process for process in self._processes if not process.alone]
            process = min(free, key=lambda p: p.users)
            process.alone = alone
            while alone and process.users:
                self._wait()
            if not process.reason:
                process.users += 1
                return process
            self._replace(process)

    def _wait(self) -> None:
        """Until something has changed, or has been closed, which nobody tells."""
        self._changed.wait(1.0)
        if self._closed:
            raise UnusableDeviceError(_ENDED)

    def _replace(self, process: "_Process") -> None:
        """Another process for the same device."""
        self._fruitless += 1
        if self._fruitless > _FRUITLESS * len(self._devices):
            raise UnusableDeviceError(
                f"{process.device} cannot be used: its process ended {_FRUITLESS} times before a "
                f"video was done: {process.reason}"
            )
        self._on_note(f"{process.device} is started again: {process.reason}")
        self._processes.remove(process)
        self._processes.append(self._start(process.device))
        self._wait_for_all()

    def _wait_for_all(self) -> None:
        """Leave out those that cannot be used."""
        for process in list(self._processes):
            process.started.wait()
            if process.ready:
                continue
            self._processes.remove(process)
            self._refusal = f"{process.device} cannot be used: {process.reason}"
            if self._processes:
                self._on_note(f"{self._refusal}; going on without it")

    def _start(self, device: str) -> "_Process":
        if self._closed:
            raise UnusableDeviceError(_ENDED)
        self._started += 1
        address = Path(self._folder.name) / str(self._started)
        return _Process(self._recipe, device, str(address), self._timeout, self._on_note)


class _Process:
    """One device's, whose life a thread follows.

    users, alone: how many videos it was lent to, and whether it must not be lent to another.
    started, ready, ended, reason: it is ready or has ended; and why it ended.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: str,
        address: str,
        timeout: float,
        on_note: Callable[[str], None],
    ) -> None:
        self.device, self.address = device, address
        self.users, self.alone = 0, False
        self.started, self.ended = threading.Event(), threading.Event()
        self.ready, self.reason = False, ""
        self._on_note = on_note
        threading.Thread(target=self._run, args=(recipe, timeout), daemon=True).start()

    def _run(self, recipe: Recipe, timeout: float) -> None:
        try:
            isolation.run(
                serve,
                *(self.address, recipe, self.device, timeout),
                timeout=None,
                on_report=self._hear,
            )
        except Exception as error:
            self.reason = self.reason or str(error) or type(error).__name__
        finally:
            self.ended.set()
            self.started.set()

    def _hear(self, report: tuple[str, str]) -> None:
        kind, text = report
        if kind == READY:
            self.ready = True
            self.started.set()
        elif kind == "failed":
            self.reason = text
        else:
            self._on_note(text)
