"""The kernels of `triton.py`: what happens within a level, with few passes over the memory.

Fields lie one after the other, each H × W float32, all of a pair's together: u (P, 2, H, W),
p (P, 4, H, W) as p11 p12 p21 p22, and what a warp leaves, (P, 3, H, W) as ρ's constant part and ∇I₁.
Iterations read one side of u and p and write the other, since tiles read beyond their edges.
"""

import triton
import triton.language as tl

from flowcache.algorithms.tvl1.options import SMALLEST_GRADIENT

# An iteration reads one pixel to each side, so a tile loses a rim of one pixel with each.
DEPTH = 4
"""Iterations in one launch, and the width of a tile's rim."""
ROWS, COLUMNS = 32, 64
"""A tile with its rim, pixels."""

# What `schedule` knows of each pair: int32 (P, 4).
TODO, DONE, U_SIDE, P_SIDE = (tl.constexpr(i) for i in range(4))

_SMALLEST_GRADIENT = tl.constexpr(SMALLEST_GRADIENT)


# Numbers that change from level to level and from launch to launch: each kernel is compiled once for all.
_VARIABLE = ["height", "width", "side", "u_side", "p_side", "iterations", "tiles"]


# Warps


@triton.jit
def _cubic(t):
    """The weights of the taps at −1, 0, 1 and 2 for a point at t in [0, 1), with A = −0.75."""
    s = 1.0 - t
    first, last = -0.75 * t * s * s, -0.75 * s * t * t
    second = (1.25 * t - 2.25) * t * t + 1.0
    return first, second, 1.0 - first - second - last, last


@triton.jit(do_not_specialize=_VARIABLE)
def linearise(moving, fixed, u, linear, height, width, BLOCK: tl.constexpr):
    """Sample I₁ and its gradient (P, 3, H, W) at x + u, zero outside; ρ(u) = linear₀ + ⟨∇I₁, u⟩."""
    size = height * width
    pair = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    u1 = tl.load(u + pair * 2 * size + at, inside, 0.0)
    u2 = tl.load(u + (pair * 2 + 1) * size + at, inside, 0.0)
    # Beyond these limits every tap is zero.
    x = tl.minimum(tl.maximum((at % width).to(tl.float32) + u1, -2.0), width + 1.0)
    y = tl.minimum(tl.maximum((at // width).to(tl.float32) + u2, -2.0), height + 1.0)
    left, top = tl.floor(x), tl.floor(y)
    along_x, along_y = _cubic(x - left), _cubic(y - top)
    column, row = left.to(tl.int32) - 1, top.to(tl.int32) - 1
    image = moving + pair * 3 * size
    value, gx, gy = tl.zeros_like(u1), tl.zeros_like(u1), tl.zeros_like(u1)
    for j in tl.static_range(4):
        for i in tl.static_range(4):
            there = (column + i >= 0) & (column + i < width) & (row + j >= 0) & (row + j < height)
            tap = (row + j) * width + column + i
            weight = along_x[i] * along_y[j]
            value += weight * tl.load(image + tap, there & inside, 0.0)
            gx += weight * tl.load(image + size + tap, there & inside, 0.0)
            gy += weight * tl.load(image + 2 * size + tap, there & inside, 0.0)
    value -= gx * u1 + gy * u2 + tl.load(fixed + pair * size + at, inside, 0.0)
    target = linear + pair * 3 * size + at
    tl.store(target, value, inside)
    tl.store(target + size, gx, inside)
    tl.store(target + 2 * size, gy, inside)


# Medians


@triton.jit
def _ordered(values, i: tl.constexpr, j: tl.constexpr):
    low, high = tl.minimum(values[i], values[j]), tl.maximum(values[i], values[j])
    return values[:i] + (low,) + values[i + 1 : j] + (high,) + values[j + 1 :]


@triton.jit(do_not_specialize=_VARIABLE)
def median(
    u, state, height, width, side,
    NETWORK: tl.constexpr, MIDDLE: tl.constexpr, SIDE: tl.constexpr, TESTED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The median of SIDE × SIDE pixels of u, the edges repeated, from one side of it to the other."""
    size = height * width
    pairs = tl.num_programs(1) // 2
    plane = tl.program_id(1).to(tl.int64)
    if TESTED:
        side = tl.load(state + plane // 2 * 4 + U_SIDE)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    x, y = at % width, at // width
    source = u + (side * pairs * 2 + plane) * size
    values = ()
    for j in tl.static_range(SIDE):
        row = tl.minimum(tl.maximum(y + (j - SIDE // 2), 0), height - 1) * width
        for i in tl.static_range(SIDE):
            column = tl.minimum(tl.maximum(x + (i - SIDE // 2), 0), width - 1)
            values = values + (tl.load(source + row + column, inside, 0.0),)
    for n in tl.static_range(len(NETWORK)):
        values = _ordered(values, NETWORK[n][0], NETWORK[n][1])
    tl.store(u + ((1 - side) * pairs * 2 + plane) * size + at, values[MIDDLE], inside)


# Iterations


@triton.jit
def _iteration(
    u1, u2, p11, p12, p21, p22, rho, gx, gy, inverse, damping, has_right, has_below,
    left, right, above, below, bound, theta, ascent,
):  # fmt: skip
    """One iteration of u and p, see `torch.relaxed`, wherever all neighbours are in the tile."""
    k = tl.minimum(tl.maximum(-(rho + gx * u1 + gy * u2) * inverse, -bound), bound)
    u1 += k * gx + theta * (p11 - tl.gather(p11, left, 1) + p12 - tl.gather(p12, above, 0))
    u2 += k * gy + theta * (p21 - tl.gather(p21, left, 1) + p22 - tl.gather(p22, above, 0))
    ax = tl.where(has_right, tl.gather(u1, right, 1) - u1, 0.0)
    ay = tl.where(has_below, tl.gather(u1, below, 0) - u1, 0.0)
    bx = tl.where(has_right, tl.gather(u2, right, 1) - u2, 0.0)
    by = tl.where(has_below, tl.gather(u2, below, 0) - u2, 0.0)
    a = 1.0 / (1.0 + damping * tl.sqrt(ax * ax + ay * ay))
    b = 1.0 / (1.0 + damping * tl.sqrt(bx * bx + by * by))
    p11, p12 = (p11 + ascent * ax) * a, (p12 + ascent * ay) * a
    p21, p22 = (p21 + ascent * bx) * b, (p22 + ascent * by) * b
    return u1, u2, p11, p12, p21, p22


@triton.jit(do_not_specialize=_VARIABLE)
def iterate(
    u, p, linear, damping, state, changes,
    height, width, u_side, p_side, iterations,
    bound, theta, ascent,
    TESTED: tl.constexpr, HALO: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr,
):  # fmt: skip
    """Up to HALO iterations on a tile that stays on the chip.

    TESTED: how many, and from which side, is what `schedule` left in `state`, and the tile's sum of |Δu|²
    in each iteration goes to `changes`, (P, tiles, HALO).
    """
    pairs = tl.num_programs(1)
    pair, tile = tl.program_id(1).to(tl.int64), tl.program_id(0)
    if TESTED:
        iterations = tl.load(state + pair * 4 + TODO)
        if iterations == 0:
            return
        u_side = tl.load(state + pair * 4 + U_SIDE)
        p_side = tl.load(state + pair * 4 + P_SIDE)
    size = height * width
    across = tl.cdiv(width, BW - 2 * HALO)
    row, column = tl.arange(0, BH), tl.arange(0, BW)
    y = (tile // across * (BH - 2 * HALO) - HALO + row)[:, None]
    x = (tile % across * (BW - 2 * HALO) - HALO + column)[None, :]
    at = y * width + x
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    # Outside of the picture p is zero and stays so, as the divergence wants it.
    has_right, has_below = inside & (x < width - 1), inside & (y < height - 1)
    here = tl.zeros([BH, BW], tl.int32)
    left, right = (
        (tl.maximum(column - 1, 0)[None, :] + here),
        (tl.minimum(column + 1, BW - 1)[None, :] + here),
    )
    above, below = (
        (tl.maximum(row - 1, 0)[:, None] + here),
        (tl.minimum(row + 1, BH - 1)[:, None] + here),
    )
    core = (
        inside
        & ((row >= HALO) & (row < BH - HALO))[:, None]
        & ((column >= HALO) & (column < BW - HALO))[None, :]
    )

    source = linear + pair * 3 * size + at
    rho = tl.load(source, inside, 0.0)
    gx = tl.load(source + size, inside, 0.0)
    gy = tl.load(source + 2 * size, inside, 0.0)
    squared = gx * gx + gy * gy
    known = squared > _SMALLEST_GRADIENT
    inverse = tl.where(known, 1.0 / tl.where(known, squared, 1.0), 0.0)
    damp = tl.load(damping + pair * size + at, inside, 0.0)
    source = u + (u_side * pairs + pair) * 2 * size + at
    u1 = tl.load(source, inside, 0.0)
    u2 = tl.load(source + size, inside, 0.0)
    source = p + (p_side * pairs + pair) * 4 * size + at
    p11 = tl.load(source, inside, 0.0)
    p12 = tl.load(source + size, inside, 0.0)
    p21 = tl.load(source + 2 * size, inside, 0.0)
    p22 = tl.load(source + 3 * size, inside, 0.0)

    for n in range(iterations):
        before1, before2 = u1, u2
        u1, u2, p11, p12, p21, p22 = _iteration(
            u1, u2, p11, p12, p21, p22, rho, gx, gy, inverse, damp, has_right, has_below,
            left, right, above, below, bound, theta, ascent,
        )  # fmt: skip
        if TESTED:
            change = (u1 - before1) * (u1 - before1) + (u2 - before2) * (u2 - before2)
            total = tl.sum(tl.where(core, change, 0.0))
            tl.store(changes + (pair * tl.num_programs(0) + tile) * HALO + n, total)

    target = u + ((1 - u_side) * pairs + pair) * 2 * size + at
    tl.store(target, u1, core)
    tl.store(target + size, u2, core)
    target = p + ((1 - p_side) * pairs + pair) * 4 * size + at
    tl.store(target, p11, core)
    tl.store(target + size, p12, core)
    tl.store(target + 2 * size, p21, core)
    tl.store(target + 3 * size, p22, core)


# The stop test


@triton.jit(do_not_specialize=_VARIABLE)
def schedule(
    state, changes, tiles, iterations, stop,
    START: tl.constexpr, MEDIAN: tl.constexpr, HALO: tl.constexpr,
):  # fmt: skip
    """What the next launch of `iterate` has to do for each pair, decided without the host.

    START: after the median, at the beginning of up to `iterations` iterations. Otherwise after a launch:
    where the update fell under `stop` only at its end, or not at all, the launch counts, and the sides
    change. Where it did so before, the next launch does the iterations up to there again.
    """
    pair = state + tl.program_id(0) * 4
    todo, done = tl.load(pair + TODO), tl.load(pair + DONE)
    u_side, p_side = tl.load(pair + U_SIDE), tl.load(pair + P_SIDE)
    if done >= 0:  # −1: it has converged
        if START:
            tl.store(pair + TODO, tl.minimum(HALO, iterations))
            tl.store(pair + DONE, 0)
            if MEDIAN:
                tl.store(pair + U_SIDE, 1 - u_side)
        elif todo > 0:
            n = tl.arange(0, HALO)
            total = tl.zeros([HALO], tl.float32)
            tile = changes + tl.program_id(0).to(tl.int64) * tiles * HALO
            for i in range(tiles):  # always in this order, so that results repeat
                total += tl.load(tile + i * HALO + n)
            enough = tl.min(tl.where((total <= stop) & (n < todo), n + 1, HALO + 1))
            if enough < todo:
                tl.store(pair + TODO, enough)
            else:
                done += todo
                converged = enough == todo
                tl.store(pair + TODO, tl.where(converged, 0, tl.minimum(HALO, iterations - done)))
                tl.store(pair + DONE, tl.where(converged, -1, done))
                tl.store(pair + U_SIDE, 1 - u_side)
                tl.store(pair + P_SIDE, 1 - p_side)
