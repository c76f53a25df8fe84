# ruff: noqa: N803  constants are in capitals
"""Kernels that `gpu_flow` holds the product's against; see there."""

import triton
import triton.language as tl

_EPSILON = tl.constexpr(1.1920929e-07)


@triton.jit
def multiply_add(out, scale, shift, rounds, CHAIN: tl.constexpr, BLOCK: tl.constexpr):
    """Multiply and add rounds × CHAIN times, on BLOCK numbers that stay in the registers."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = at.to(tl.float32)
    for _n in range(rounds):
        for _m in tl.static_range(CHAIN):
            value = value * scale + shift
    tl.store(out + at, value)


# An iteration as two passes over the memory; the arithmetic is that of `triton_kernels`.


@triton.jit(do_not_specialize=["height", "width"])
def primal(source, target, p, linear, height, width, bound, theta, BLOCK: tl.constexpr):
    """The new u, (P, 2, H, W), from one place to another or in place."""
    size = height * width
    pair = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    has_left, has_above = inside & (at % width > 0), inside & (at >= width)
    rho = tl.load(linear + pair * 3 * size + at, inside, 0.0)
    gx = tl.load(linear + (pair * 3 + 1) * size + at, inside, 0.0)
    gy = tl.load(linear + (pair * 3 + 2) * size + at, inside, 0.0)
    u1 = tl.load(source + pair * 2 * size + at, inside, 0.0)
    u2 = tl.load(source + (pair * 2 + 1) * size + at, inside, 0.0)
    duals = p + pair * 4 * size + at
    p11 = tl.load(duals, inside, 0.0)
    p12 = tl.load(duals + size, inside, 0.0)
    p21 = tl.load(duals + 2 * size, inside, 0.0)
    p22 = tl.load(duals + 3 * size, inside, 0.0)
    left11 = tl.load(duals - 1, has_left, 0.0)
    above12 = tl.load(duals + size - width, has_above, 0.0)
    left21 = tl.load(duals + 2 * size - 1, has_left, 0.0)
    above22 = tl.load(duals + 3 * size - width, has_above, 0.0)
    squared = gx * gx + gy * gy
    known = squared > _EPSILON
    inverse = tl.where(known, 1.0 / tl.where(known, squared, 1.0), 0.0)
    k = tl.minimum(tl.maximum(-(rho + gx * u1 + gy * u2) * inverse, -bound), bound)
    u1 += k * gx + theta * (p11 - left11 + p12 - above12)
    u2 += k * gy + theta * (p21 - left21 + p22 - above22)
    tl.store(target + pair * 2 * size + at, u1, inside)
    tl.store(target + (pair * 2 + 1) * size + at, u2, inside)


@triton.jit(do_not_specialize=["height", "width"])
def dual(u, source, target, damping, height, width, ascent, BLOCK: tl.constexpr):
    """The new p, (P, 4, H, W), from one place to another or in place."""
    size = height * width
    pair = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    has_right, has_below = inside & (at % width < width - 1), at < size - width
    damp = tl.load(damping + pair * size + at, inside, 0.0)
    for i in tl.static_range(2):
        flow = u + (pair * 2 + i) * size + at
        here = tl.load(flow, inside, 0.0)
        dx = tl.where(has_right, tl.load(flow + 1, has_right, 0.0) - here, 0.0)
        dy = tl.where(has_below, tl.load(flow + width, has_below, 0.0) - here, 0.0)
        scale = 1.0 / (1.0 + damp * tl.sqrt(dx * dx + dy * dy))
        place = (pair * 4 + 2 * i) * size + at
        px = tl.load(source + place, inside, 0.0)
        py = tl.load(source + place + size, inside, 0.0)
        tl.store(target + place, (px + ascent * dx) * scale, inside)
        tl.store(target + place + size, (py + ascent * dy) * scale, inside)
