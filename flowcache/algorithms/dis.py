"""DIS: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016."""

from dataclasses import dataclass
from typing import Any

import cv2

from flowcache.algorithms._requirements import require, require_at_least
from flowcache.errors import UserError
from flowcache.types import FlowStack, UInt8, pairwise_flow, require_gray


@dataclass(frozen=True, kw_only=True)
class DIS:
    """Dense inverse search as OpenCV computes it; the defaults are OpenCV's preset "medium".

    The preset "fast" is finest_scale=2 patch_stride=4 gradient_descent_iterations=16; "ultrafast" is
    the same with gradient_descent_iterations=12 variational_refinement_iterations=0.
    """

    finest_scale: int = 1
    """The pyramid level at which the search stops (θ_sf); 0 is full resolution."""

    patch_size: int = 8
    """Side of the patches in pixels, a multiple of 4."""

    patch_stride: int = 3
    """Distance between patches in pixels, at most their side."""

    gradient_descent_iterations: int = 25
    """Steps of the inverse search for each patch (θ_it)."""

    variational_refinement_iterations: int = 5
    """Fixed-point steps of the refinement, 0 for none (θ_vo)."""

    alpha: float = 20.0
    """Weight of smoothness in the refinement."""

    delta: float = 5.0
    """Weight of colour constancy in the refinement."""

    gamma: float = 10.0
    """Weight of gradient constancy in the refinement."""

    mean_normalization: bool = True
    """Subtract each patch's mean, against changes of light."""

    spatial_propagation: bool = True
    """Let neighbouring patches pass on their solutions."""

    def __post_init__(self) -> None:
        """Raises ValueError for an option outside its limits."""
        require_at_least(
            0,
            self,
            "finest_scale",
            "gradient_descent_iterations",
            "variational_refinement_iterations",
            "alpha",
            "delta",
            "gamma",
        )
        # OpenCV's search over other patches leaves pixels out, and patches with gaps between them
        # make it read past its buffers.
        require(self.patch_size > 0 and self.patch_size % 4 == 0, "patch_size", "a multiple of 4")
        require(
            1 <= self.patch_stride <= self.patch_size,
            "patch_stride",
            f"1 to {self.patch_size}, the patches' side",
        )

    @property
    def version(self) -> str:
        """The library whose code runs."""
        return f"OpenCV {cv2.__version__}"

    def __call__(self, gray: UInt8) -> FlowStack:
        """uint8 (T, H, W) → T − 1 fields. UserError where a side is too small."""
        require_gray(gray)
        # OpenCV reads past its buffers, and crashes, where the finest level has no room for two
        # patches each way; and it takes no picture under 12 pixels.
        smallest = max(12, (self.patch_size + self.patch_stride) << self.finest_scale)
        if min(gray.shape[1:]) < smallest:
            raise UserError(
                f"frames of {gray.shape[2]}x{gray.shape[1]} are too small for dis, which needs "
                f"{smallest} pixels a side here: use farneback, or a larger size",
                "size",
            )
        solver: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        solver.setFinestScale(self.finest_scale)
        solver.setPatchSize(self.patch_size)
        solver.setPatchStride(self.patch_stride)
        solver.setGradientDescentIterations(self.gradient_descent_iterations)
        solver.setVariationalRefinementIterations(self.variational_refinement_iterations)
        solver.setVariationalRefinementAlpha(self.alpha)
        solver.setVariationalRefinementDelta(self.delta)
        solver.setVariationalRefinementGamma(self.gamma)
        solver.setUseMeanNormalization(self.mean_normalization)
        solver.setUseSpatialPropagation(self.spatial_propagation)
        return pairwise_flow(gray, lambda first, second: solver.calc(first, second, None))


create = DIS
