"""What square brackets mean for a video and for an entry: the same as for a Python list."""

import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex

Key = SupportsIndex | slice | Iterable[SupportsIndex]
"""A number, a slice, or several numbers in any order."""


def numbers(key: Key, count: int, what: str) -> list[int]:
    """The numbers from 0 to count − 1 that a key selects; negative ones count from the end.

    Raises IndexError, which names `what` is counted, for a number that does not exist.
    """
    if isinstance(key, slice):
        return list(range(*key.indices(count)))
    wanted: Any = [key] if is_single(key) else key
    return [_existing(operator.index(number), count, what) for number in wanted]


def is_single(key: Key) -> bool:
    """Whether a key is one number, for which one item is given and not a stack of them."""
    return hasattr(key, "__index__") and not getattr(key, "shape", ())


def _existing(number: int, count: int, what: str) -> int:
    if not -count <= number < count:
        raise IndexError(f"there is no {what} {number}: they are numbered from 0 to {count - 1}")
    return number % count
