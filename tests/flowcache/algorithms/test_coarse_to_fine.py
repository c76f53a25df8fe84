"""The way from the coarsest level to the finest, with a method that only says what it is asked for."""

import pytest

from flowcache.algorithms._coarse_to_fine import coarse_to_fine


class Recorder:
    """A method whose flow is the list of what was done to it."""

    def __init__(self):
        self.begun = []

    def begin(self, level):
        self.begun.append(level)
        return [f"begin {level}"]

    def enlarge(self, flow, level):
        return [*flow, f"enlarge to {level}"]

    def solve(self, level, flow):
        return [*flow, f"solve {level}"]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (["only"], ["begin only", "solve only"]),
        (
            ["large", "middle", "small"],
            [
                *("begin small", "solve small"),
                *("enlarge to middle", "solve middle"),
                *("enlarge to large", "solve large"),
            ],
        ),
    ],
)
def test_levels_are_solved_from_the_last_to_the_first_each_from_the_one_before(levels, expected):
    solver, given = Recorder(), [*levels]
    assert coarse_to_fine(given, solver) == expected
    assert solver.begun == [levels[-1]]
    assert given == levels


def test_a_motion_is_doubled_from_level_to_level():
    class Doubling:
        def begin(self, level):
            return 0.0

        def enlarge(self, flow, level):
            return 2 * flow

        def solve(self, level, flow):
            return flow + level

    assert coarse_to_fine((0.25, 0.5, 3.0), Doubling()) == 2 * (2 * 3.0 + 0.5) + 0.25
