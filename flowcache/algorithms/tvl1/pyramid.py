"""TV-L1 for many pairs of frames at once, on a device of PyTorch: from frames to flow.

This file is the order of the steps for a batch: the pyramids, which a frame shares between its two
pairs, and the levels. What happens at one level is handed in as a function, because that is what takes
the time: `torch` has it in PyTorch's own operations, `triton` in kernels.

Images are float32 (N, H, W) in gray levels and flow is float32 (P, 2, H, W) in pixels. No operation
mixes the pairs of a batch, and none waits for the device except where a size is new.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from flowcache.algorithms._batched.images import filtered, gaussian, pairs, resized
from flowcache.algorithms._batched.session import BatchedInPyTorch
from flowcache.algorithms._coarse_to_fine import coarse_to_fine
from flowcache.algorithms.tvl1.options import LOCAL_MEAN, WIDEST_EDGE, Options


class SolveLevel(Protocol):
    """The flow between images of one size, beginning from another flow."""

    def __call__(
        self, options: Options, image0: Tensor, image1: Tensor, damping: Tensor, start: Tensor
    ) -> Tensor:
        """Images and damping t/g (P, H, W), start (P, 2, H, W) → flow (P, 2, H, W)."""
        ...


@dataclass(frozen=True, kw_only=True)
class BatchedTVL1(BatchedInPyTorch, Options):
    """The options of the backends that compute in batches: everything but OpenCV's order of rounding."""

    def __post_init__(self) -> None:
        """Fill in the profile's values. Raises ValueError for an option outside its limits."""
        if self.exact:
            raise ValueError("exact=True is for the CPU alone")
        object.__setattr__(self, "exact", False)
        super().__post_init__()


def solve_batch(
    options: Options, stacks: Sequence[Tensor], step: int, solve_level: SolveLevel
) -> Tensor:
    """Stacks of uint8 (T, H, W), all of one size → float32 (P, 2, H, W), one after the other.

    A stack has a field for each pair of frames t and t + step.
    """
    solver = _Solver(options, [len(stack) for stack in stacks], step, solve_level)
    return coarse_to_fine(pyramid(options, torch.cat(list(stacks))), solver)


class _Solver:
    """The method for one batch; a level of the pyramid is all frames at one size."""

    def __init__(
        self, options: Options, lengths: Sequence[int], step: int, solve_level: SolveLevel
    ) -> None:
        self._options, self._lengths, self._step = options, lengths, step
        self._solve_level = solve_level

    def begin(self, images: Tensor) -> Tensor:
        """No motion, (P, 2, H, W)."""
        count = sum(max(length - self._step, 0) for length in self._lengths)
        return images.new_zeros(count, 2, *images.shape[1:])

    def enlarge(self, flow: Tensor, images: Tensor) -> Tensor:
        """The flow of the coarser level at the size of these images."""
        return resized(flow, *images.shape[1:]) / self._options.scale_step

    def solve(self, images: Tensor, flow: Tensor) -> Tensor:
        """All warps of one level."""
        o = self._options
        image0, image1 = pairs(images, self._lengths, self._step)
        damping = o.tau / o.theta * inverse_edge_weight(o, image0)
        return self._solve_level(o, image0, image1, damping, flow)


def pyramid(options: Options, frames: Tensor) -> list[Tensor]:
    """uint8 (N, H, W) → the frames and ever smaller ones."""
    images = frames.float()
    if options.presmoothing:
        images = blurred(images, options.presmoothing)
    levels = [images]
    for height, width in options.sizes(*frames.shape[1:])[1:]:
        levels.append(resized(levels[-1], height, width, options.scale_step))
    if not options.coarse_texture:
        return levels
    return [
        image - options.coarse_texture * blurred(image, LOCAL_MEAN)
        if 2 * image.shape[1] < frames.shape[1]
        else image
        for image in levels
    ]


def inverse_edge_weight(options: Options, images: Tensor) -> Tensor:
    """1/g = exp(α |∇I|)."""
    if not options.edge_weight:
        return torch.ones_like(images)
    dx, dy = gradient(images, (0.5, 0.0))
    return torch.exp(options.edge_weight * (dx * dx + dy * dy).sqrt()).clamp(max=WIDEST_EDGE)


def gradient(images: Tensor, weights: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """∂I/∂x and ∂I/∂y as weighted differences at distances one and two, the edges repeated."""
    near, far = weights
    wide, high = pad(images, (2, 2, 0, 0), "replicate"), pad(images, (0, 0, 2, 2), "replicate")
    dx = near * (wide[..., 3:-1] - wide[..., 1:-3])
    dy = near * (high[:, 3:-1] - high[:, 1:-3])
    if far:
        dx += far * (wide[..., 4:] - wide[..., :-4])
        dy += far * (high[:, 4:] - high[:, :-4])
    return dx, dy


def blurred(images: Tensor, sigma: float) -> Tensor:
    """A Gaussian of width σ pixels over each image, as wide as OpenCV makes it for float images."""
    return filtered(images, gaussian(sigma, (round(8 * sigma + 1) | 1) // 2))
