"""Sources and clocks for live labels, so that nothing waits for a camera, nor for time to pass."""

from collections.abc import Callable, Iterator, Sequence
from threading import Event

import av
import numpy as np


class MadeSource:
    """Pictures that are given, uint8 (H, W, 3); what is an exception is raised in its place."""

    name = "a made source"
    damaged = 0

    def __init__(
        self,
        pictures: Sequence[np.ndarray | Exception],
        rate: float = 25.0,
        *,
        times: Sequence[float | None] | None = None,
        is_recorded: bool = True,
    ) -> None:
        self._pictures, self.rate, self.is_recorded = pictures, rate, is_recorded
        self._times = times or [number / (rate or 25) for number in range(len(pictures))]

    def __iter__(self) -> Iterator[tuple[av.VideoFrame, float | None]]:
        for picture, time in zip(self._pictures, self._times, strict=True):
            if isinstance(picture, Exception):
                raise picture
            yield av.VideoFrame.from_ndarray(picture, format="rgb24"), time


class MadeClock:
    """Stands still until somebody waits, and then jumps."""

    def __init__(self, waited: Callable[[float], None] = lambda _: None) -> None:
        self._now, self._waited = 100.0, waited

    def now(self) -> float:
        """Seconds."""
        return self._now

    def pass_by(self, seconds: float) -> None:
        """Something takes time."""
        self._now += seconds

    def wait_until(self, moment: float, stopped: Event) -> None:
        """The moment is there."""
        self._now = max(self._now, moment)
        self._waited(moment)
