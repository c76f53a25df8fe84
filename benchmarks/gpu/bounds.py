"""The least time that TV-L1's iterations could take on a card, from what it reaches in this run."""

from functools import cache
from typing import Any

import torch

from gpu.setting import Setting, median_seconds, number

# Of an iteration and a pixel. Reads ρ ∇I₁ 1/g u p, writes u p, 4 bytes each; two kernels: the first
# reads ρ ∇I₁ u p and writes u, the second reads u 1/g p and writes p. 21 operations for u, 30 for p.
READ, WRITTEN, OF_TWO, FLOP = 40, 24, 88, 51


@cache
def ceilings(setting: Setting) -> tuple[float, float]:
    """Bytes/s of a copy, read and written, and FLOP/s of multiply-adds in registers."""
    from gpu import kernels

    source = torch.rand(2**28 if setting.on_gpu else 2**16, device=setting.device)
    target = torch.empty_like(source)
    copy = median_seconds(setting, lambda: [target.copy_(source) for _ in range(10)])
    programs, rounds, chain, block = (4096, 4096, 16, 2048) if setting.on_gpu else (2, 2, 16, 2048)
    out = torch.empty(programs * block, device=setting.device)
    fused = median_seconds(
        setting,
        lambda: kernels.multiply_add[(programs,)](
            out, 0.5, 0.5, rounds, CHAIN=chain, BLOCK=block, num_warps=8
        ),
    )
    moved = 10 * 2 * source.numel() * source.element_size()
    return moved / copy, 2 * programs * block * rounds * chain / fused


def least(setting: Setting, options: Any, tiled: float, of_two: float) -> list[list[str]]:
    """A line for each way to iterate, given what a pair takes with tiles and with two kernels, s."""
    pixels = pixel_iterations(options, setting.sizes[0])
    lines = []
    for name, moved, flop, measured in (
        ("tiles", *tiled_work(options, setting.sizes[0]), tiled),
        ("two kernels an iteration", pixels * OF_TWO, pixels * FLOP, of_two),
        ("one pass an iteration, not built", pixels * (READ + WRITTEN), pixels * FLOP, None),
    ):
        times = floors(setting, moved, flop)
        counts = [number(pixels / 1e6), f"{moved / pixels:.1f}", f"{flop / pixels:.1f}"]
        took = [number(1e6 * measured), f"{measured / max(times):.2f}"] if measured else ["", ""]
        lines.append([name, *counts, *(number(1e6 * floor) for floor in times), *took])
    return lines


def tile_floors(setting: Setting, options: Any) -> tuple[float, float]:
    """Seconds that a pair's launches of `iterate` take at least: by memory, by arithmetic."""
    return floors(setting, *tiled_work(options, setting.sizes[0]))


def floors(setting: Setting, moved: int, flop: int) -> tuple[float, float]:
    """Seconds for so many bytes, and for so many operations."""
    bandwidth, rate = ceilings(setting)
    return moved / bandwidth, flop / rate


def pixel_iterations(options: Any, size: tuple[int, int]) -> int:
    """Of a pair, where no stop test ends them."""
    pixels = sum(height * width for height, width in options.sizes(*size[::-1]))
    return pixels * options.warps * options.outer_iterations * options.inner_iterations


def tiled_work(options: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Bytes moved and operations done for a pair by `iterate`, with the tiles' rims."""
    from flowcache.algorithms.tvl1 import triton_kernels as k

    moved = flop = 0
    rounds, iterations = options.warps * options.outer_iterations, options.inner_iterations
    for height, width in options.sizes(*size[::-1]):
        rows, read_rows = cut(height, k.ROWS, k.DEPTH)
        columns, read_columns = cut(width, k.COLUMNS, k.DEPTH)
        launches = rounds * -(-iterations // k.DEPTH)
        moved += launches * (READ * read_rows * read_columns + WRITTEN * height * width)
        flop += rounds * iterations * FLOP * rows * columns * k.ROWS * k.COLUMNS
    return moved, flop


def cut(length: int, side: int, rim: int) -> tuple[int, int]:
    """Tiles along an axis of the picture, and the pixels that they read together."""
    starts = range(0, length, side - 2 * rim)
    return len(starts), sum(min(s + side - rim, length) - max(s - rim, 0) for s in starts)
