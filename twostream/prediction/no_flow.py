"""What stands in place of the flow of a video that no network looks at."""

from dataclasses import dataclass

import numpy as np

from flowcache.types import FlowStack, UInt8


@dataclass(frozen=True, kw_only=True)
class NoFlow:
    """Fields of zeros, which cost nothing; see `flowcache.types.FlowAlgorithm`."""

    @property
    def version(self) -> str:
        """There is one."""
        return "1"

    def __call__(self, gray: UInt8) -> FlowStack:
        """Gray frames, uint8 (T, H, W) → T − 1 fields."""
        frames, height, width = gray.shape
        return FlowStack(np.zeros((frames - 1, 2, height, width), np.float32))
