"""What the module of a batched backend offers, and what the process of a device relies on."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flowcache.quantize import Quantizer
from flowcache.types import Codes, FlowAlgorithm, FlowStack, UInt8


class BatchedAlgorithm(FlowAlgorithm, Protocol):
    """What the module of a batched backend creates."""

    def flow_on(self, device: str, gray: UInt8) -> FlowStack:
        """uint8 (T, H, W) → T − 1 fields, on a device that is named."""
        ...

    def on(self, device: str, quantizer: Quantizer, on_note: Callable[[str], None]) -> "Session":
        """The algorithm at work on one device. `on_note` is told what its user should know."""
        ...


class Session(Protocol):
    """One device at work. It computes while earlier results and later frames are copied."""

    def stack(self, shape: tuple[int, int, int]) -> Any:
        """Memory for gray frames, uint8 (T, H, W), that the device reads from; `numpy()` is a view."""
        ...

    def room(self, height: int, width: int) -> int:
        """How many pairs of frames of this size to hand over at once."""
        ...

    def start(
        self, stacks: Sequence[Any], step: int
    ) -> Callable[[], list[tuple[Codes, int] | str]]:
        """Begin to compute for stacks of one frame size; the function returned waits for the end.

        It gives for each stack the quantised fields (T − step, 2, H, W) and how many of their numbers
        saturated, or else a text that says what is wrong with them.
        """
        ...
