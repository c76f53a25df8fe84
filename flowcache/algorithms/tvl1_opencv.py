"""TV-L1: Zach, Pock, Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow", DAGM 2007.

Parameters and their names follow Sánchez, Meinhardt-Llopis, Facciolo, "TV-L1 Optical Flow
Estimation", IPOL 2013. This is OpenCV's program, to compare with: `tvl1` with profile=opencv gives the
same flow in a fraction of the time.
"""

from dataclasses import dataclass
from typing import Any

import cv2

from flowcache.algorithms._requirements import require_at_least
from flowcache.algorithms._tvl1_opencv_defaults import OPENCV_DEFAULTS, check
from flowcache.errors import UserError
from flowcache.types import FlowStack, UInt8, pairwise_flow, require_gray


@dataclass(frozen=True, kw_only=True)
class TVL1OpenCV:
    """Duality-based TV-L1 as OpenCV computes it, with OpenCV's defaults."""

    tau: float = OPENCV_DEFAULTS["tau"]
    """Time step of the dual ascent (τ)."""

    lambda_: float = OPENCV_DEFAULTS["lambda_"]
    """Weight of the data term (λ), spelled `lambda` where options have names; smaller is smoother."""

    theta: float = OPENCV_DEFAULTS["theta"]
    """Tightness of the coupling between the two half problems (θ)."""

    nscales: int = OPENCV_DEFAULTS["nscales"]
    """Pyramid levels."""

    scale_step: float = OPENCV_DEFAULTS["scale_step"]
    """Size of each pyramid level relative to the one before it."""

    warps: int = OPENCV_DEFAULTS["warps"]
    """Linearisations at each level."""

    epsilon: float = OPENCV_DEFAULTS["epsilon"]
    """The iterations end when the mean squared update falls under its square."""

    inner_iterations: int = OPENCV_DEFAULTS["inner_iterations"]
    """Iterations between two medians, at most."""

    outer_iterations: int = OPENCV_DEFAULTS["outer_iterations"]
    """Medians for each linearisation, at most."""

    median_filtering: int = OPENCV_DEFAULTS["median_filtering"]
    """Side of the median filter: 1 (off), 3 or 5."""

    gamma: float = 0.0
    """Weight of the illumination field, 0 for none (γ)."""

    def __post_init__(self) -> None:
        """Raises ValueError for an option outside its limits."""
        check(self)
        require_at_least(0, self, "gamma")

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
                "needs 2 rows: use tvl1, or a larger size",
                "size",
            )
        if self.nscales > 1 and round(self.scale_step * min(gray.shape[1:])) < 1:
            raise UserError(
                f"scale_step={self.scale_step} leaves nothing of frames of {gray.shape[2]}x"
                f"{gray.shape[1]}: use a larger one, or nscales=1",
                "options",
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
