"""Farnebäck, "Two-Frame Motion Estimation Based on Polynomial Expansion", SCIA 2003."""

from dataclasses import dataclass
from typing import Any

import cv2

from flowcache.types import FlowStack, UInt8, pairwise_flow


@dataclass(frozen=True, kw_only=True)
class Farneback:
    """Polynomial expansion as OpenCV computes it; the defaults are those of its class.

    pyr_scale: size of each pyramid level relative to the one before it.
    levels: pyramid levels beside the original.
    winsize: side of the averaging window, in pixels; larger is smoother and catches faster motion.
    iterations: refinements per level.
    poly_n, poly_sigma: neighbourhood (5 or 7) and Gaussian width of the polynomial expansion.
    gaussian: weight the window by a Gaussian instead of a box.
    """

    pyr_scale: float = 0.5
    levels: int = 5
    winsize: int = 13
    iterations: int = 10
    poly_n: int = 5
    poly_sigma: float = 1.1
    gaussian: bool = False

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
