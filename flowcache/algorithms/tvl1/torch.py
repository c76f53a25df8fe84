"""TV-L1 for a batch of pairs in PyTorch's own operations, on any device of PyTorch.

The method and its sources are those of `cpu.py`, and so are the options, but for OpenCV's order of
rounding: the flow is the same to a tenth of a pixel nearly everywhere. This is the readable form for
devices with many cores; `triton` computes the same in far fewer passes over the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from flowcache.algorithms._batched.session import pytorch_devices, pytorch_version
from flowcache.algorithms.tvl1.median_network import median_network
from flowcache.algorithms.tvl1.options import SMALLEST_GRADIENT, Options
from flowcache.algorithms.tvl1.pyramid import BatchedTVL1, gradient, solve_batch

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class TVL1Torch(BatchedTVL1):
    """Duality-based TV-L1 in PyTorch."""

    @property
    def version(self) -> str:
        """Our program's and PyTorch's."""
        return f"{_VERSION}, {pytorch_version()}"

    def solve(self, stacks: Sequence[Tensor], step: int) -> Tensor:
        """uint8 stacks (T, H, W) on one device → float32 (P, 2, H, W): each t to t + step of each."""
        return solve_batch(self, stacks, step, solve_level)


create = TVL1Torch
devices = pytorch_devices


def solve_level(
    options: Options, image0: Tensor, image1: Tensor, damping: Tensor, start: Tensor
) -> Tensor:
    """See `pyramid.SolveLevel`."""
    u, p = start, start.new_zeros(len(start), 2, 2, *start.shape[2:])  # p: pair, component, axis
    moving = torch.stack([image1, *gradient(image1, options.derivative)], 1)
    for _ in range(options.warps):
        rho, grad = linearised(image0, moving, u)
        u, p = relaxed(options, rho, grad, damping, u, p)
    return u


def linearised(image0: Tensor, moving: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """ρ's constant part (P, H, W) and ∇I₁ (P, 2, H, W), both where the flow leads.

    `moving` is I₁ and its gradient (P, 3, H, W), sampled by cubic convolution (Keys 1981) with
    A = −0.75, which is OpenCV's and PyTorch's; outside of the image all is zero.
    """
    height, width = image0.shape[1:]
    x, y = (torch.arange(n, device=u.device, dtype=u.dtype) for n in (width, height))
    # grid_sample counts from −1 at the outer edge of the first pixel to 1 at that of the last. Only with
    # sides of powers of two is nothing rounded on the way, so that what does not move stays in its place.
    high, wide = (1 << (n - 1).bit_length() for n in (height, width))
    moving = pad(moving, (0, wide - width, 0, high - height))
    where = torch.stack(
        [(2 * (u[:, 0] + x) + 1) / wide - 1, (2 * (u[:, 1] + y[:, None]) + 1) / high - 1], -1
    )
    warped = grid_sample(moving, where, "bicubic", "zeros", align_corners=False)
    grad = warped[:, 1:]
    return warped[:, 0] - (grad * u).sum(1) - image0, grad


def relaxed(
    options: Options, rho: Tensor, grad: Tensor, damping: Tensor, u: Tensor, p: Tensor
) -> tuple[Tensor, Tensor]:
    """What u and p are after the medians and iterations of one warp."""
    o = options
    squared = (grad * grad).sum(1)
    inverse = torch.where(squared > SMALLEST_GRADIENT, 1 / squared, 0)
    stop = o.epsilon**2 * rho[0].numel()
    active = torch.ones(len(u), dtype=torch.bool, device=u.device)  # (P,): not converged yet
    for _ in range(o.outer_iterations):
        if o.median_filtering > 1:
            u = _where(active, median(u, o.median_filtering), u)
        for _ in range(o.inner_iterations):
            k = -(rho + (grad * u).sum(1)) * inverse
            k = k.clamp(-o.lambda_ * o.theta, o.lambda_ * o.theta)
            new_u = u + k[:, None] * grad + o.theta * divergence(p)
            new_p = ascended(p, new_u, o.tau / o.theta, damping)
            if not o.epsilon:
                u, p = new_u, new_p
                continue
            # Its last digits may depend on the batch and on the threads, and where a pair stops on them.
            change = (new_u - u).square().sum((1, 2, 3))
            u, p = _where(active, new_u, u), _where(active, new_p, p)
            active = active & (change > stop)
            if not active.any():
                return u, p
    return u, p


def divergence(p: Tensor) -> Tensor:
    """Each component's div p, (P, 2, 2, H, W) → (P, 2, H, W); p is zero before the first pixels."""
    px, py = p.unbind(2)
    return px - pad(px[..., :-1], (1, 0)) + py - pad(py[..., :-1, :], (0, 0, 1, 0))


def ascended(p: Tensor, u: Tensor, ascent: float, damping: Tensor) -> Tensor:
    """The semi-implicit ascent p ← (p + t ∇u) / (1 + t |∇u| / g) (Chambolle 2004)."""
    dx = pad(u[..., 1:] - u[..., :-1], (0, 1))
    dy = pad(u[..., 1:, :] - u[..., :-1, :], (0, 0, 0, 1))
    scale = 1 + damping[:, None] * (dx * dx + dy * dy).sqrt()
    return (p + ascent * torch.stack([dx, dy], 2)) / scale[:, :, None]


def median(u: Tensor, side: int) -> Tensor:
    """The median of side × side pixels around each, the edges repeated: (P, 2, H, W)."""
    height, width = u.shape[2:]
    margin = side // 2
    wide = pad(u, (margin,) * 4, "replicate")
    values = [wide[..., y : y + height, x : x + width] for y in range(side) for x in range(side)]
    network, middle = median_network(side)
    for i, j in network:
        values[i], values[j] = (
            torch.minimum(values[i], values[j]),
            torch.maximum(values[i], values[j]),
        )
    return values[middle]


def _where(active: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(active.view(-1, *[1] * (new.ndim - 1)), new, old)
