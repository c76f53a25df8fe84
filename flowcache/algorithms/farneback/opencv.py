"""Farnebäck's method as OpenCV computes it, on one processor core."""

from dataclasses import dataclass
from typing import Any

import cv2

from flowcache.algorithms.farneback.options import Options
from flowcache.types import FlowStack, UInt8, pairwise_flow


@dataclass(frozen=True, kw_only=True)
class Farneback(Options):
    """Polynomial expansion as OpenCV computes it."""

    @property
    def version(self) -> str:
        """The library whose code runs."""
        return f"OpenCV {cv2.__version__}"

    def __call__(self, gray: UInt8) -> FlowStack:
        """uint8 (T, H, W) → T − 1 fields."""
        solver: Any = cv2.FarnebackOpticalFlow.create(
            numLevels=self.levels,
            pyrScale=self.pyr_scale,
            winSize=self.winsize,
            numIters=self.iterations,
            polyN=self.poly_n,
            polySigma=self.poly_sigma,
            flags=cv2.OPTFLOW_FARNEBACK_GAUSSIAN if self.gaussian else 0,
        )
        return pairwise_flow(gray, lambda first, second: solver.calc(first, second, None))


create = Farneback
