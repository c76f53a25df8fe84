"""DIS: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016."""

from dataclasses import dataclass
from typing import Any

import cv2

from flowcache.errors import UserError
from flowcache.types import FlowStack, UInt8, pairwise_flow, require_gray


@dataclass(frozen=True, kw_only=True)
class DIS:
    """Dense inverse search as OpenCV computes it; the defaults are OpenCV's preset "medium".

    The preset "fast" is finest_scale=2 patch_stride=4 gradient_descent_iterations=16; "ultrafast" is
    the same with gradient_descent_iterations=12 variational_refinement_iterations=0.

    finest_scale: the pyramid level at which the search stops (θ_sf); 0 is full resolution.
    patch_size, patch_stride: side and spacing of the patches, in pixels.
    gradient_descent_iterations: inverse-search steps per patch (θ_it).
    variational_refinement_iterations: fixed-point steps of the refinement, 0 for none (θ_vo).
    alpha, delta, gamma: weights of smoothness, colour and gradient constancy in the refinement.
    mean_normalization: subtract each patch's mean, against changes of light.
    spatial_propagation: let neighbouring patches pass on their solutions.
    """

    finest_scale: int = 1
    patch_size: int = 8
    patch_stride: int = 3
    gradient_descent_iterations: int = 25
    variational_refinement_iterations: int = 5
    alpha: float = 20.0
    delta: float = 5.0
    gamma: float = 10.0
    mean_normalization: bool = True
    spatial_propagation: bool = True

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
                f"{smallest} pixels a side here: use farneback, or a larger --size"
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
