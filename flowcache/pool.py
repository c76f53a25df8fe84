"""The processes of the devices, as the extraction that starts them sees them."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from flowcache import isolate
from flowcache.recipe import Recipe
from flowcache.serve import READY, serve
from flowcache.sources import DeviceLostError
from flowcache.types import FlowCacheError

_LAST_WORDS = 30.0  # seconds after which a process that hung up should have ended


class UnusableDeviceError(FlowCacheError):
    """A device that does not compute; no video can be done with it."""


class DevicePool:
    """One process for each device, started when first needed; videos are shared out between them.

    `on_note` is told in words what a user should know.
    """

    def __init__(
        self, recipe: Recipe, devices: Sequence[str], on_note: Callable[[str], None]
    ) -> None:
        self._recipe, self._devices, self._on_note = recipe, devices, on_note
        self._lock, self._started = threading.Lock(), 0

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="twostream-")
        self._processes: list[_Process] = []
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The address of the process with the least to do; one that has ended is started again.

        Raises UnusableDeviceError where it cannot be.
        """
        with self._lock:
            process = self._least_busy()
            process.users += 1
        try:
            yield process.address
        except DeviceLostError:
            process.ended.wait(_LAST_WORDS)  # else it would be lent again before that is known
            raise
        finally:
            with self._lock:
                process.users -= 1

    def _least_busy(self) -> "_Process":
        if not self._processes:
            self._processes = [self._start(device) for device in self._devices]
            for process in self._processes:
                process.wait()
        process = min(self._processes, key=lambda p: p.users)
        if process.reason:
            self._on_note(f"{process.device} is started again: {process.reason}")
            place = self._processes.index(process)
            self._processes[place] = process = self._start(process.device)
            process.wait()
        return process

    def _start(self, device: str) -> "_Process":
        self._started += 1
        address = Path(self._folder.name) / str(self._started)
        return _Process(self._recipe, device, str(address), self._on_note)


class _Process:
    def __init__(
        self, recipe: Recipe, device: str, address: str, on_note: Callable[[str], None]
    ) -> None:
        self.device, self.address, self.users = device, address, 0
        self.reason = ""  # why it has ended
        self._on_note = on_note
        self._started, self.ended = threading.Event(), threading.Event()
        threading.Thread(target=self._run, args=(recipe,), daemon=True).start()

    def wait(self) -> None:
        """Until it answers. UnusableDeviceError where it ended instead."""
        self._started.wait()
        if self.reason:
            raise UnusableDeviceError(f"{self.device} cannot be used: {self.reason}")

    def _run(self, recipe: Recipe) -> None:
        try:
            isolate.run(
                serve, self.address, recipe, self.device, timeout=None, on_report=self._hear
            )
        except Exception as error:
            self.reason = self.reason or str(error) or type(error).__name__
        finally:
            self.ended.set()
            self._started.set()

    def _hear(self, report: tuple[str, str]) -> None:
        kind, text = report
        if kind == READY:
            self._started.set()
        elif kind == "failed":
            self.reason = text
        else:
            self._on_note(text)
