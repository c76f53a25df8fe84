"""How long labels take, over any length of time in the same memory."""

import numpy as np

_BINS = 10_000  # of a millisecond


class Latencies:
    """Counts of durations by the millisecond. What takes ten seconds or longer counts as ten."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[min(_BINS - 1, max(0, round(1000 * seconds)))] += 1

    def percentile(self, percent: float) -> float:
        """So many in a hundred took at most this, in seconds; 0 where none was counted."""
        counted = np.cumsum(self._counts)
        wanted = max(1, np.ceil(counted[-1] * percent / 100))
        return int(np.searchsorted(counted, wanted)) / 1000 if counted[-1] else 0.0
