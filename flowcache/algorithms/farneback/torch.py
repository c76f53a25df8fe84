"""Farnebäck's method for a batch of pairs in PyTorch's own operations, on any device of PyTorch.

The neighbourhood of each pixel is taken for a quadratic, f(x) = xᵀA x + bᵀx + c. A motion d turns b into
b − 2A d, so A d = Δb, of which d is the least-squares solution over a window. The order of the steps, the
borders and the constants are OpenCV's, and so is the flow, but for rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from flowcache.algorithms._batched.images import (
    filtered,
    filtered_along,
    gaussian,
    pairs,
    resized,
)
from flowcache.algorithms._batched.session import BatchedInPyTorch, pytorch_devices, pytorch_version
from flowcache.algorithms._coarse_to_fine import coarse_to_fine
from flowcache.algorithms.farneback.options import Options

_VERSION = 1
_SMALLEST_SIDE = 32  # of a pyramid level, pixels
_BORDER = (0.14, 0.14, 0.4472, 0.4472, 0.4472)  # how far the outermost pixels are trusted
_REGULAR = 1e-3  # added to the determinant, so that it is never zero


@dataclass(frozen=True, kw_only=True)
class FarnebackTorch(BatchedInPyTorch, Options):
    """Polynomial expansion in PyTorch."""

    @property
    def version(self) -> str:
        """Our program's and PyTorch's."""
        return f"{_VERSION}, {pytorch_version()}"

    def solve(self, stacks: Sequence[Tensor], step: int) -> Tensor:
        """uint8 stacks (T, H, W) on one device → float32 (P, 2, H, W): each t to t + step of each."""
        frames, lengths = torch.cat(list(stacks)).float(), [len(s) for s in stacks]
        return coarse_to_fine(
            _scales(self, *frames.shape[1:]), _Solver(self, frames, lengths, step)
        )


create = FarnebackTorch
devices = pytorch_devices


class _Solver:
    """The method for one batch; a level of the pyramid is its scale."""

    def __init__(self, options: Options, frames: Tensor, lengths: Sequence[int], step: int) -> None:
        self._options, self._frames = options, frames
        self._lengths, self._step = lengths, step

    def begin(self, scale: float) -> Tensor:
        """No motion, (P, 2, H, W)."""
        count = sum(max(length - self._step, 0) for length in self._lengths)
        return self._frames.new_zeros(count, 2, *self._size(scale))

    def enlarge(self, flow: Tensor, scale: float) -> Tensor:
        """The flow of the coarser level at the size of this one."""
        return resized(flow, *self._size(scale)) / self._options.pyr_scale

    def solve(self, scale: float, flow: Tensor) -> Tensor:
        """All refinements of one level."""
        images = smaller(self._frames, scale, *self._size(scale))
        quadratics = torch.stack(expanded(self._options, images), 1)
        first, second = (
            part.transpose(0, 1) for part in pairs(quadratics, self._lengths, self._step)
        )
        for _ in range(self._options.iterations):
            flow = displacement(self._options, equations(first, second, flow))
        return flow

    def _size(self, scale: float) -> tuple[int, int]:
        height, width = self._frames.shape[1:]
        return round(height * scale), round(width * scale)


def _scales(options: Options, height: int, width: int) -> list[float]:
    """The scale of each level, that of the frames first."""
    scales = [1.0]
    while len(scales) <= options.levels:
        scale = scales[-1] * options.pyr_scale
        if min(height * scale, width * scale) < _SMALLEST_SIDE:
            break
        scales.append(scale)
    return scales


def smaller(frames: Tensor, scale: float, height: int, width: int) -> Tensor:
    """The frames at a scale, smoothed as much as they are made smaller, and a little at their own."""
    sigma = (1 / scale - 1) / 2
    radius = max((round(5 * sigma) | 1) // 2, 1)
    weights = gaussian(sigma, radius) if sigma else [0.25, 0.5, 0.25]
    return resized(filtered(frames, weights, "reflect"), height, width)


def expanded(options: Options, images: Tensor) -> list[Tensor]:
    """The quadratic around each pixel: b_y, b_x, A_yy, A_xx and 2 A_xy, each (N, H, W)."""
    n, sigma = options.poly_n, options.poly_sigma or 0.3 * options.poly_n
    x = np.arange(-n, n + 1)
    g = np.array(gaussian(sigma, n))
    weights = {power: [float(w) for w in g * x**power] for power in (0, 1, 2)}
    rows = {power: filtered_along(1, images, weights[power]) for power in (0, 1, 2)}

    def moment(power_x: int, power_y: int) -> Tensor:
        return filtered_along(2, rows[power_y], weights[power_x])

    # The normal equations' matrix, for 1, x, y, x², y² and xy, weighted by the Gaussian (Section 3).
    y_, x_ = (part.ravel() for part in np.meshgrid(x, x, indexing="ij"))
    basis = np.stack([np.ones_like(x_), x_, y_, x_**2, y_**2, x_ * y_])
    inverse = np.linalg.inv((basis * np.outer(g, g).ravel()) @ basis.T)
    linear, constant, square, mixed = (
        float(inverse[i, j]) for i, j in ((1, 1), (0, 3), (3, 3), (5, 5))
    )
    mean = moment(0, 0) * constant
    return [
        moment(0, 1) * linear,
        moment(1, 0) * linear,
        mean + moment(0, 2) * square,
        mean + moment(2, 0) * square,
        moment(1, 1) * mixed,
    ]


def equations(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """AᵀA and AᵀΔb of each pixel: (5, P, H, W) as yy, xy, xx, and y and x of the right side.

    `first` and `second` are the quadratics (5, P, H, W) of the images; the second is sampled where the
    flow leads. Where that is outside, its A is taken to be the first's, and its b to be zero.
    """
    height, width = flow.shape[2:]
    x, y = (torch.arange(n, device=flow.device, dtype=flow.dtype) for n in (width, height))
    dx, dy = flow.unbind(1)
    moved_x, moved_y = x + dx, y[:, None] + dy
    left, top = moved_x.floor(), moved_y.floor()
    inside = (left >= 0) & (left < width - 1) & (top >= 0) & (top < height - 1)
    share_x, share_y = moved_x - left, moved_y - top
    row, column = top.clamp(0, max(height - 2, 0)).long(), left.clamp(0, max(width - 2, 0)).long()
    at = row * width + column
    flat = second.flatten(2)
    last = flat.shape[2] - 1

    def tap(offset: int) -> Tensor:
        index = (at.flatten(1) + offset).clamp(max=last).expand(5, -1, -1)
        return flat.gather(2, index).view_as(first)

    above = tap(0) * (1 - share_x) + tap(1) * share_x
    below = tap(width) * (1 - share_x) + tap(width + 1) * share_x
    there = above * (1 - share_y) + below * share_y
    there = torch.where(inside, there, torch.cat([torch.zeros_like(first[:2]), first[2:]]))

    by, bx = (first[:2] - there[:2]) / 2
    ayy, axx, axy = (first[2:] + there[2:]) / 2
    axy = axy / 2
    by, bx = by + ayy * dy + axy * dx, bx + axy * dy + axx * dx
    trust = _trust(height, flow.device)[:, None] * _trust(width, flow.device)
    by, bx, ayy, axx, axy = (part * trust for part in (by, bx, ayy, axx, axy))
    return torch.stack(
        [
            ayy * ayy + axy * axy,
            (ayy + axx) * axy,
            axx * axx + axy * axy,
            ayy * by + axy * bx,
            axy * by + axx * bx,
        ]
    )


@cache
def _trust(size: int, device: torch.device) -> Tensor:
    trust = np.ones(size, np.float32)
    for i, weight in enumerate(_BORDER[:size]):
        trust[[i]] *= np.float32(weight)
        trust[[size - 1 - i]] *= np.float32(weight)
    return torch.from_numpy(trust).to(device)  # a copy that waits, so any stream may read it


def displacement(options: Options, matrices: Tensor) -> Tensor:
    """The least-squares solution over each pixel's window, (5, P, H, W) → flow (P, 2, H, W)."""
    radius = options.winsize // 2
    if options.gaussian:
        weights = gaussian(0.3 * radius, radius) if radius else [1.0]
    else:
        weights = [1 / options.winsize] * (2 * radius + 1)
    yy, xy, xx, y, x = filtered(matrices, weights)
    inverse = 1 / (yy * xx - xy * xy + _REGULAR)
    return torch.stack([(yy * x - xy * y) * inverse, (xx * y - xy * x) * inverse], 1)
