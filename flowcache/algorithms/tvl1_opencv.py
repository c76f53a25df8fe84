"""TV-L1: Zach, Pock, Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow", DAGM 2007.

Parameters and their names follow Sánchez, Meinhardt-Llopis, Facciolo, "TV-L1 Optical Flow
Estimation", IPOL 2013. This is OpenCV's program, to compare with: `tvl1` with profile=opencv gives the
same flow in a fraction of the time.
"""

from dataclasses import dataclass
from typing import Any

import cv2

from flowcache.errors import UserError
from flowcache.types import FlowStack, UInt8, pairwise_flow, require_gray


@dataclass(frozen=True, kw_only=True)
class TVL1OpenCV:
    """Duality-based TV-L1 as OpenCV computes it, with OpenCV's defaults.

    tau: time step of the dual ascent (τ).
    lambda_: weight of the data term (λ; the option is spelled `lambda`); smaller is smoother.
    theta: tightness of the coupling between the two half problems (θ).
    nscales, scale_step: pyramid levels and the size of each relative to the one before it.
    warps: linearisations per level.
    epsilon: the iterations end when the mean squared update falls under its square.
    inner_iterations, outer_iterations: caps on the iterations between medians, and on the medians.
    gamma: weight of the illumination field, 0 for none (γ).
    median_filtering: side of the median filter between outer iterations: 1 (off), 3 or 5.
    """

    tau: float = 0.25
    lambda_: float = 0.15
    theta: float = 0.3
    nscales: int = 5
    scale_step: float = 0.8
    warps: int = 5
    epsilon: float = 0.01
    inner_iterations: int = 30
    outer_iterations: int = 10
    gamma: float = 0.0
    median_filtering: int = 5

    @property
    def version(self) -> str:
        """The library whose code runs."""
        return f"OpenCV {cv2.__version__}"

    def __call__(self, gray: UInt8) -> FlowStack:
        """uint8 (T, H, W) → T − 1 fields. UserError for frames of a single row."""
        require_gray(gray)
        if gray.shape[1] < 2:  # OpenCV would read memory that nothing was written to
            raise UserError(
                f"frames of {gray.shape[2]}x{gray.shape[1]} are too small for tvl1_opencv, which "
                "needs 2 rows: use tvl1, or a larger --size"
            )
        # Built for each call: the object cannot be pickled, and once it has seen a small image it
        # keeps that image's number of scales.
        solver: Any = cv2.optflow.DualTVL1OpticalFlow.create(
            tau=self.tau,
            lambda_=self.lambda_,
            theta=self.theta,
            nscales=self.nscales,
            warps=self.warps,
            epsilon=self.epsilon,
            innnerIterations=self.inner_iterations,  # the keyword's spelling is OpenCV's
            outerIterations=self.outer_iterations,
            scaleStep=self.scale_step,
            gamma=self.gamma,
            medianFiltering=self.median_filtering,
            useInitialFlow=False,
        )
        return pairwise_flow(gray, lambda first, second: solver.calc(first, second, None))


create = TVL1OpenCV
