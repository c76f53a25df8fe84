"""Flow forward in time, and beside it the flow backward where a recipe asks for both."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from flowcache.types import Codes, UInt8

Fields = Iterator[tuple[Codes, int]]
"""For each window of frames its quantised fields, and how many of their numbers saturated."""


def in_directions(
    windows: Iterable[UInt8], compute: Callable[[Iterable[UInt8]], Fields], backward: bool
) -> Fields:
    """The fields of each window, (T, 2, H, W), or (T, 4, H, W) with those that lead back.

    The last two components of field t are the flow from frame t + step to frame t: that of the same
    window run through from its end.

    windows: gray frames, uint8 (T + step, H, W). compute: gives the fields of each window, in order.
    """
    return _both_ways(windows, compute) if backward else compute(windows)


def _both_ways(windows: Iterable[UInt8], compute: Callable[[Iterable[UInt8]], Fields]) -> Fields:
    def there_and_back() -> Iterator[UInt8]:
        for gray in windows:
            yield gray
            yield np.ascontiguousarray(gray[::-1])

    fields = compute(there_and_back())
    for (forward, lost), (backward, lost_back) in zip(fields, fields, strict=True):
        yield np.concatenate([forward, backward[::-1]], axis=1), lost + lost_back
