"""Time, as a live source sees it; a test has a clock of its own, so that nothing sleeps."""

import time
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """Seconds that only rise."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...

    def wait_until(self, moment: float, stopped: Event) -> None:
        """Return at that moment, or as soon as it is stopped."""
        ...


class WallClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.perf_counter()

    def wait_until(self, moment: float, stopped: Event) -> None:
        """Return at that moment, or as soon as it is stopped."""
        seconds = moment - self.now()
        if seconds > 0:
            stopped.wait(seconds)
