"""The way from the coarsest level of a pyramid to the finest, one for every method and backend."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

Level = TypeVar("Level", contravariant=True)
Flow = TypeVar("Flow")


class LevelSolver(Protocol[Level, Flow]):
    """A method at one level of a pyramid; what a level and a flow are is its own matter."""

    def begin(self, level: Level) -> Flow:
        """No motion anywhere, at the size of this level."""
        ...

    def enlarge(self, flow: Flow, level: Level) -> Flow:
        """The flow of the coarser level at the size of this one, its lengths grown as much."""
        ...

    def solve(self, level: Level, flow: Flow) -> Flow:
        """The flow at this level, beginning from another."""
        ...


def coarse_to_fine(levels: Sequence[Level], solver: LevelSolver[Level, Flow]) -> Flow:
    """Solve one level after the other, each from the result of the coarser one.

    `levels` are in the order in which a pyramid is built: the largest comes first.
    """
    *finer, coarsest = levels
    flow = solver.solve(coarsest, solver.begin(coarsest))
    for level in reversed(finer):
        flow = solver.solve(level, solver.enlarge(flow, level))
    return flow
