"""TV-L1: Zach, Pock, Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow", DAGM 2007.

The flow u minimises  ∫ |∇u₁|_g + |∇u₂|_g + λ |ρ(u)|,  where ρ(u) = I₁(x + u) − I₀(x), linearised around
the present flow, and |·|_g is the length times g, which is 1, or less across the edges of I₀ (Wedel,
Cremers, Pock, Bischof, "Structure- and Motion-adaptive Regularization", ICCV 2009). An auxiliary v, held
close to u by θ, splits that into a thresholding step for each pixel (Eq. 15 of the first paper) and a
denoising problem, which is solved by ascent on the dual p (Chambolle 2004). Names and values of the
parameters follow Sánchez, Meinhardt-Llopis, Facciolo, "TV-L1 Optical Flow Estimation", IPOL 2013, and
OpenCV. The medians between the iterations, and the removal of what light changes, are from Wedel, Pock,
Zach, Bischof, Cremers, "An Improved Algorithm for TV-L1 Optical Flow", 2009.

This file is the order of the steps for one processor core; `kernels` holds the loops over pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from flowcache.algorithms._coarse_to_fine import coarse_to_fine
from flowcache.algorithms.tvl1.options import LOCAL_MEAN, WIDEST_EDGE, Options
from flowcache.types import Float32, FlowStack, UInt8, require_gray

_VERSION = 1
_cv: Any = cv2  # its type stubs have no arrays of float32
_Images = tuple[Float32, Float32]


@dataclass(frozen=True, kw_only=True)
class TVL1(Options):
    """Duality-based TV-L1 on one processor core."""

    @property
    def version(self) -> str:
        """Our program's, and OpenCV's, which resizes and takes the medians."""
        return f"{_VERSION}, OpenCV {cv2.__version__}"

    def __call__(self, gray: UInt8) -> FlowStack:
        """uint8 (T, H, W) → T − 1 fields; any size."""
        require_gray(gray)
        t, h, w = gray.shape
        data = np.zeros((max(t - 1, 0), 2, h, w), np.float32)
        if data.size:
            solver = _Solver(self, h, w)
            first = solver.pyramid(gray[0])
            for i in range(t - 1):
                second = solver.pyramid(gray[i + 1])
                data[i] = coarse_to_fine(list(zip(first, second, strict=True)), solver)
                first = second
        return FlowStack(data)


create = TVL1


class _Solver:
    """The method for frames of one size; the memory is shared by all levels of all pairs."""

    def __init__(self, options: TVL1, height: int, width: int) -> None:
        from flowcache.algorithms.tvl1 import kernels  # compiles them, the first time

        self.options, self.kernels = options, kernels
        self.room = kernels.memory(height, width)

    def pyramid(self, frame: UInt8) -> list[Float32]:
        """The frame and ever smaller ones, float32, gray levels."""
        o = self.options
        image: Float32 = frame.astype(np.float32, order="C")  # as the kernels take it
        if o.presmoothing:
            image = _blurred(image, o.presmoothing)
        levels = [image]
        for _ in o.sizes(*frame.shape)[1:]:
            # By the factor and not to the size: it is not quite the ratio of the sizes.
            levels.append(_cv.resize(levels[-1], None, fx=o.scale_step, fy=o.scale_step))
        if not o.coarse_texture:
            return levels
        share = np.float32(o.coarse_texture)
        return [
            level - share * _blurred(level, LOCAL_MEAN) if 2 * len(level) < len(frame) else level
            for level in levels
        ]

    def begin(self, images: _Images) -> Float32:
        """No motion, (2, H, W)."""
        return np.zeros((2, *images[0].shape), np.float32)

    def enlarge(self, flow: Float32, images: _Images) -> Float32:
        """The flow of the coarser level at the size of these images, (2, H, W)."""
        height, width = images[0].shape
        larger = [_cv.resize(component, (width, height)) for component in flow]
        return np.array([_cv.multiply(c, 1 / self.options.scale_step) for c in larger])

    def solve(self, images: _Images, start: Float32) -> Float32:
        """The flow between two images of one size, in memory that the next call overwrites."""
        image0, image1 = images
        o, k = self.options, self.kernels
        height, width = image0.shape
        fields = k.fields(self.room, height, width)
        whole = k.inside(fields, height, width)
        flow: Float32 = whole[: k.U2 + 1]
        flow[...] = start
        whole[k.ASCENT] = o.tau / o.theta
        whole[k.DAMPING] = whole[k.ASCENT] * self.inverse_edge_weight(image0)
        warp = self.warping(image1, fields, whole)
        # Where every iteration is done anyway, several pass over each row while it is in the cache.
        tested = o.exact or o.epsilon > 0
        depth, stop = (1, o.epsilon**2 * height * width) if tested else (4, -1.0)
        for _ in range(o.warps):
            warp()
            k.linearise(image0, fields)
            for _ in range(o.outer_iterations):
                if o.median_filtering > 1:
                    for component in flow:
                        component[...] = _cv.medianBlur(component, o.median_filtering)
                _, converged = k.iterate(
                    *fields, height, width, o.inner_iterations, depth,
                    np.float32(o.lambda_ * o.theta), np.float32(o.theta), np.float32(stop), o.exact,
                )  # fmt: skip
                if converged:
                    break
        return flow

    def inverse_edge_weight(self, image: Float32) -> Float32:
        """1/g = exp(α |∇I|), (H, W)."""
        if not self.options.edge_weight:
            return np.ones_like(image)
        dx, dy = (
            _cv.Sobel(image, -1, *order, ksize=1, scale=0.5, borderType=_cv.BORDER_REPLICATE)
            for order in ((1, 0), (0, 1))
        )
        # Not cv2.magnitude: its last digit depends on where in memory the numbers lie.
        length = np.sqrt(dx * dx + dy * dy)
        with np.errstate(over="ignore"):  # infinity is limited too
            weight: Float32 = np.exp(self.options.edge_weight * length)
        return np.minimum(weight, WIDEST_EDGE)

    def warping(self, image: Float32, fields: Float32, whole: Float32) -> Callable[[], None]:
        """What writes the image and its gradient, sampled where the flow leads, into the fields."""
        k = self.kernels
        height, width = image.shape
        before, after = k.FRAME
        near, far = self.options.derivative
        interleaved = np.empty((height + before + after, width + before + after, 4), np.float32)
        k.interleave(image, interleaved, np.float32(near), np.float32(far))
        if not self.options.exact:
            weights, starts = np.empty((8, width), np.float32), np.empty(width, np.int32)
            return lambda: k.warp(interleaved, fields, weights, starts)

        picture = np.ascontiguousarray(interleaved[before:-after, before:-after])
        x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]

        def warp_as_opencv() -> None:
            where = x + whole[k.U1], y + whole[k.U2]
            warped = _cv.remap(picture, *where, _cv.INTER_CUBIC, borderMode=_cv.BORDER_CONSTANT)
            whole[k.RHO : k.GY + 1] = np.moveaxis(warped, 2, 0)[:3]

        return warp_as_opencv


def _blurred(image: Float32, sigma: float) -> Float32:
    result: Float32 = _cv.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return result
