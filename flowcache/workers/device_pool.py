"""The processes of the devices, as the extraction that starts them sees them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.workers import device_server, protocol
from flowcache.workers.device_client import DeviceLostError
from flowcache.workers.isolation import Child, CrashedError, TimedOutError

_LAST_SECONDS = 30.0  # that a process which hung up may take to end, and to say why
_FRUITLESS = 5  # so often a device's process may end before a single video was done

OnNote = Callable[[str], None]


class UnusableDeviceError(UserError):
    """No device computes, so no video can be done."""


class DevicePool:
    """A process for each device; videos are shared out between them.

    A process is started when it is first needed, and again when it has ended. A device that cannot be
    used is left out. All processes end with the `with` block.
    """

    def __init__(
        self, recipe: Recipe, devices: Sequence[str], timeout: float, on_note: OnNote
    ) -> None:
        """timeout: seconds that the start, or a batch, may take. on_note: told what happens."""
        self._all = [_DeviceProcess(recipe, device, timeout, on_note) for device in devices]
        self._usable = list(self._all)
        self._lock = threading.Lock()
        self._on_note = on_note
        self._refusal = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, and start none any more."""
        for process in self._all:
            process.close()

    @contextmanager
    def lend(self) -> Iterator[protocol.Address]:
        """The address of the process with the least to do.

        Raises UnusableDeviceError where there is none. A DeviceLostError that passes gets the reason.
        """
        process, address = self._choose()
        try:
            yield address
            process.fruitless = 0
        except DeviceLostError:
            reason = process.last_words(address)
            raise DeviceLostError(f"the process of {process.device} ended: {reason}") from None
        finally:
            with self._lock:
                process.users -= 1

    def _choose(self) -> "tuple[_DeviceProcess, protocol.Address]":
        while True:
            with self._lock:
                if not self._usable:
                    raise UnusableDeviceError(self._refusal, "device")
                process = min(self._usable, key=lambda p: p.users)
                process.users += 1
            try:
                return process, process.address()  # may wait for the start; no lock is held here
            except UnusableDeviceError as error:
                self._leave_out(process, str(error))

    def _leave_out(self, process: "_DeviceProcess", refusal: str) -> None:
        with self._lock:
            process.users -= 1
            if process not in self._usable:
                return
            self._usable.remove(process)
            self._refusal = refusal
            if self._usable:
                self._on_note(f"{refusal}; going on without it")


class _DeviceProcess:
    """The process of one device; what it reports is read when somebody needs to know."""

    def __init__(self, recipe: Recipe, device: str, timeout: float, on_note: OnNote) -> None:
        self.device = device
        self.users = self.fruitless = 0
        self._recipe, self._timeout, self._on_note = recipe, timeout, on_note
        self._lock = threading.Lock()  # held while it starts, by those who need this device
        self._child: Child | None = None
        self._address: protocol.Address | None = None
        self._ended = ""  # the reason, once it has ended
        self._closed = False

    def address(self) -> protocol.Address:
        """Where it listens; it is started where it is not there. Raises UnusableDeviceError."""
        with self._lock:
            while self._child and not self._ended and self._child.has_message():
                self._read(None)
            if self._ended:
                self._count_failure()
            if self._ended or not self._child:
                self._start()
            assert self._address
            return self._address

    def last_words(self, address: protocol.Address) -> str:
        """Wait for the end of a process that hung up, and tell why it ended."""
        with self._lock:
            while address == self._address and not self._ended:
                self._read(_LAST_SECONDS)
            return self._ended or "it hung up"

    def close(self) -> None:
        """End the process, also one that is starting, and start none any more."""
        self._closed = True
        if self._child:
            self._child.kill()

    def _start(self) -> None:
        if self._closed:
            raise UnusableDeviceError("the extraction has ended")
        self._ended, self._address, self._child = "", None, Child()
        self._child.start(device_server.serve, self._recipe, self.device, self._timeout)
        while not self._address and not self._ended:
            self._read(self._timeout)
        if self._ended:
            self._child.kill()
            raise UnusableDeviceError(f"{self.device} cannot be used: {self._ended}", "device")

    def _count_failure(self) -> None:
        self.fruitless += 1
        if self.fruitless > _FRUITLESS:
            raise UnusableDeviceError(
                f"{self.device} cannot be used: its process ended {_FRUITLESS} times before a video "
                f"was done: {self._ended}",
                "device",
            )
        self._on_note(f"{self.device} is started again: {self._ended}")

    def _read(self, timeout: float | None) -> None:
        """Take one message in, or the end of the process."""
        assert self._child
        try:
            kind, value = self._child.next_message(timeout)
        except (CrashedError, TimedOutError, protocol.UnreadableAnswerError) as error:
            self._ended = self._ended or str(error)
            return
        if kind == protocol.RAISED:
            self._ended = str(value)
        elif kind == protocol.REPORT:
            what, content = value
            if what == device_server.READY:
                self._address = content
            elif what == device_server.FAILED:
                self._ended = content
            else:
                self._on_note(content)
