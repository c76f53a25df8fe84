"""Which comparisons bring the median of a square of values to one place, for code without branches."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise


@cache
def median_network(side: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """Comparisons that bring the median of side × side values to one place, and that place.

    Each comparison (i, j) puts the smaller of two values at i and the larger at j. First the columns
    are sorted, then the rows. After that a value stands below those to its right and underneath, which
    rules out the corners; of the rest the smallest and the largest are dropped again and again from a
    group that is just large enough for neither to be the median.
    """
    half = side * side // 2 + 1
    lines = [[row * side + column for row in range(side)] for column in range(side)]
    lines += [[row * side + column for column in range(side)] for row in range(side)]
    network = [pair for line in lines for pair in _sorting(line)]
    left = [
        row * side + column
        for row in range(side)
        for column in range(side)
        if (row + 1) * (column + 1) <= half and (side - row) * (side - column) <= half
    ]
    size = len(left) // 2 + 2
    group, rest = left[:size], left[size:]
    while len(group) > 1:
        network += pairwise(group)  # the largest goes to the end
        group.pop()
        network += reversed(list(pairwise(group)))  # and the smallest to the beginning
        group = [*group[1:], *rest[:1]]
        rest = rest[1:]
    return _without_idle(network, group[0]), group[0]


def _sorting(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    for end in range(len(places), 1, -1):
        yield from pairwise(places[:end])


def _without_idle(network: Sequence[tuple[int, int]], place: int) -> tuple[tuple[int, int], ...]:
    """The comparisons on which the value at a place depends."""
    needed, kept = {place}, []
    for pair in reversed(network):
        if needed & {*pair}:
            needed |= {*pair}
            kept.append(pair)
    return tuple(reversed(kept))
