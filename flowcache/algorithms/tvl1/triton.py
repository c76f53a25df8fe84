"""TV-L1 for a batch of pairs on a GPU, in kernels that keep several iterations on the chip.

The method, its sources and its options are those of `torch.py`, and the flow is the same up to rounding.
An iteration does little arithmetic on many numbers, so one pass over the memory for each, or several,
leaves the processors waiting. Here a tile with a rim is loaded once, and some iterations are done on it.
Each makes the outermost pixels of the rim wrong, and what is still right at the end is stored.

Triton comes with PyTorch's CUDA and ROCm builds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flowcache.algorithms._batched.session import flow_of, gpus
from flowcache.algorithms.tvl1.median_network import median_network
from flowcache.algorithms.tvl1.options import Options
from flowcache.algorithms.tvl1.pyramid import BatchedTVL1, gradient, solve_batch
from flowcache.errors import UserError
from flowcache.types import FlowStack, UInt8

_VERSION = 1
_OLDEST_TRITON = (3, 4)  # comes with PyTorch 2.8
_BLOCK = 256  # pixels of one program, where a pixel is computed from what was there before
# Said, because what Triton does by itself changes with its version.
_COMPILED: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": True}


@dataclass(frozen=True, kw_only=True)
class TVL1Triton(BatchedTVL1):
    """Duality-based TV-L1 in Triton."""

    @property
    def version(self) -> str:
        """Our program's, and Triton's. Raises UserError where it is not installed."""
        installed = triton_version()
        if not installed:
            raise UserError(
                "tvl1's backend triton needs Triton, which comes with PyTorch's CUDA and ROCm builds: "
                "install such a build, or use another backend",
                "backend",
            )
        return f"{_VERSION}, Triton {installed}"

    def __call__(self, gray: UInt8) -> FlowStack:
        """uint8 (T, H, W) → T − 1 fields, any size. Raises UserError where there is no GPU."""
        found = devices()
        if not found:
            raise UserError(
                "tvl1's backend triton needs a GPU that PyTorch can use: use another backend",
                "backend",
            )
        return flow_of(self, gray, found[0])

    def solve(self, stacks: Sequence[Tensor], step: int) -> Tensor:
        """uint8 stacks (T, H, W) on one device → float32 (P, 2, H, W): each t to t + step of each."""
        return solve_batch(self, stacks, step, solve_level)


create = TVL1Triton


def devices() -> list[str]:
    """Where it can run here: on GPUs, by a Triton that has all of the language that is needed."""
    found = gpus()
    return found if found and _number(triton_version()) >= _OLDEST_TRITON else []


def triton_version() -> str:
    """Empty where it is not installed. Its distribution has one name with CUDA and others with ROCm."""
    try:
        import triton
    except ImportError:
        return ""
    return str(triton.__version__).partition("+")[0]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def solve_level(
    options: Options, image0: Tensor, image1: Tensor, damping: Tensor, start: Tensor
) -> Tensor:
    """See `pyramid.SolveLevel`."""
    moving = torch.stack([image1, *gradient(image1, options.derivative)], 1)
    return _Level(options, moving, image0.contiguous(), damping.contiguous(), start).flow()


class _Level:
    """The launches within a level; u and p have two sides, of which one is read and one written."""

    def __init__(
        self, options: Options, moving: Tensor, fixed: Tensor, damping: Tensor, start: Tensor
    ) -> None:
        from flowcache.algorithms.tvl1 import triton_kernels as kernels

        self.options, self.kernels = options, kernels
        self.moving, self.fixed, self.damping = moving, fixed, damping
        self.pairs, self.height, self.width = fixed.shape
        self.u = torch.stack([start, torch.empty_like(start)])
        self.p = start.new_zeros(2, self.pairs, 4, self.height, self.width)
        self.linear = torch.empty_like(moving)
        self.u_side = self.p_side = 0
        rim = 2 * kernels.DEPTH
        self.tiles = _cdiv(self.height, kernels.ROWS - rim) * _cdiv(
            self.width, kernels.COLUMNS - rim
        )
        # Of the stop test; see `schedule`.
        self.state = torch.zeros(self.pairs, 4, dtype=torch.int32, device=fixed.device)
        self.changes = fixed.new_zeros(self.pairs, self.tiles, kernels.DEPTH)

    def flow(self) -> Tensor:
        """The flow, (P, 2, H, W)."""
        for _ in range(self.options.warps):
            self.linearise()
            if self.options.epsilon:
                self.relax_until_converged()
            else:
                self.relax()
        return self.u[self.u_side]

    def relax(self) -> None:
        """All medians and iterations of one warp."""
        for _ in range(self.options.outer_iterations):
            if self.options.median_filtering > 1:
                self.median(tested=False)
                self.u_side ^= 1
            left = self.options.inner_iterations
            while left:
                count = min(left, self.kernels.DEPTH)
                self.iterate(count, tested=False)
                self.u_side, self.p_side = self.u_side ^ 1, self.p_side ^ 1
                left -= count

    def relax_until_converged(self) -> None:
        """The same, but a pair's iterations end when the mean squared update is under ε².

        Each pair has sides of its own meanwhile, and launches after its last do nothing for it.
        """
        self.state.zero_()
        for _ in range(self.options.outer_iterations):
            if self.options.median_filtering > 1:
                self.median(tested=True)
            self.schedule(start=True)
            # One launch more, for a pair that converges in the midst of one.
            for _ in range(_cdiv(self.options.inner_iterations, self.kernels.DEPTH) + 1):
                self.iterate(0, tested=True)
                self.schedule(start=False)
        for sides, column in (
            (self.u, self.kernels.U_SIDE.value),
            (self.p, self.kernels.P_SIDE.value),
        ):
            on_second = self.state[:, column].bool().view(-1, 1, 1, 1)
            sides[0] = torch.where(on_second, sides[1], sides[0])

    def linearise(self) -> None:
        grid = (_cdiv(self.height * self.width, _BLOCK), self.pairs)
        self.kernels.linearise[grid](
            self.moving, self.fixed, self.u[self.u_side], self.linear, self.height, self.width,
            BLOCK=_BLOCK, **_COMPILED,
        )  # fmt: skip

    def median(self, *, tested: bool) -> None:
        network, middle = median_network(self.options.median_filtering)
        grid = (_cdiv(self.height * self.width, _BLOCK), 2 * self.pairs)
        self.kernels.median[grid](
            self.u, self.state, self.height, self.width, self.u_side,
            NETWORK=network, MIDDLE=middle, SIDE=self.options.median_filtering, TESTED=tested,
            BLOCK=_BLOCK, **_COMPILED,
        )  # fmt: skip

    def iterate(self, count: int, *, tested: bool) -> None:
        o, k = self.options, self.kernels
        k.iterate[(self.tiles, self.pairs)](
            self.u, self.p, self.linear, self.damping, self.state, self.changes,
            self.height, self.width, self.u_side, self.p_side, count,
            o.lambda_ * o.theta, o.theta, o.tau / o.theta,
            TESTED=tested, HALO=k.DEPTH, BH=k.ROWS, BW=k.COLUMNS, **_COMPILED,
        )  # fmt: skip

    def schedule(self, *, start: bool) -> None:
        o = self.options
        self.kernels.schedule[(self.pairs,)](
            self.state, self.changes, self.tiles, o.inner_iterations,
            o.epsilon**2 * self.height * self.width,
            START=start, MEDIAN=o.median_filtering > 1, HALO=self.kernels.DEPTH, **_COMPILED,
        )  # fmt: skip


def _cdiv(count: int, size: int) -> int:
    return -(-count // size)
