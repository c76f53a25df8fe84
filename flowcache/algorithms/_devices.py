"""What the algorithms that run on PyTorch's devices share: which there are, and one stack's flow."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from flowcache.types import FlowStack, UInt8, require_gray


class Solver(Protocol):
    """An algorithm for a device."""

    def solve(self, stacks: Sequence[Tensor], step: int) -> Tensor:
        """uint8 stacks (T, H, W) on one device → float32 (P, 2, H, W): each t to t + step of each."""
        ...


def gpus() -> list[str]:
    """Which GPUs PyTorch can use here, CUDA's or ROCm's, as cuda:0."""
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def flow_of(solver: Solver, gray: UInt8, device: str) -> FlowStack:
    """uint8 (T, H, W) → T − 1 fields."""
    require_gray(gray)
    t, h, w = gray.shape
    if t < 2 or h * w == 0:
        return FlowStack(torch.zeros(max(t - 1, 0), 2, h, w).numpy())
    with torch.inference_mode():
        flow = solver.solve([torch.from_numpy(gray.copy()).to(device)], 1)
    return FlowStack(flow.cpu().numpy())
