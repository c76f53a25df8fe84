"""The loops of TV-L1 over pixels, compiled. `cpu.py` says in which order they run, and why.

A *field* is float32 (H, W) inside a frame of spare numbers, stored as one row of memory: a row above,
one below, and to the right of each row as many columns as fill up its last vector of 16, one at least.
The solver's fields are the rows of one array, in the order of the constants below. Loops run over
spare columns as over any others. Image gradient and dual step are zero there, so nothing changes
there: p stays zero, as it is by definition before the first column, and no loop asks where a row ends.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from flowcache.algorithms.tvl1.options import SMALLEST_GRADIENT
from flowcache.compiled import compiled
from flowcache.types import Float32

U1, U2, P11, P12, P21, P22, RHO, GX, GY, GRAD, ASCENT, DAMPING, CHANGE = range(13)
FRAME = (3, 4)  # zeros before and after an image, for the cubic taps that fall outside of it

_I, _F, _D = np.uintp, np.float32, np.float64
_SMALLEST_GRADIENT = np.float32(SMALLEST_GRADIENT)


@compiled()
def _stride(width: int) -> int:
    """The distance between the rows of a field."""
    return (width + 16) // 16 * 16


def memory(height: int, width: int) -> Float32:
    """Room for the fields at this size and any smaller one: zeros, aligned to the vectors."""
    size = (CHANGE + 1) * (height + 2) * _stride(width)
    numbers = np.zeros(size + 16, np.float32)
    start = -numbers.ctypes.data % 64 // numbers.itemsize
    return numbers[start : start + size]


def fields(room: Float32, height: int, width: int) -> Float32:
    """All fields, zero: (13, (H + 2) S), in `room`, which `memory` made."""
    length = (height + 2) * _stride(width)
    result = room[: (CHANGE + 1) * length].reshape(-1, length)
    result.fill(0)
    return result


def inside(field: Float32, height: int, width: int) -> Float32:
    """What a field holds, (…, H, W), as a view."""
    rows = field.reshape(*field.shape[:-1], height + 2, _stride(width))
    return rows[..., 1:-1, :width]


# The image, its gradient, and both where the flow leads


@compiled("void(float32[:, ::1], float32[:, :, ::1], float32, float32)")
def interleave(image: Any, out: Any, near: float, far: float) -> None:
    """Image (H, W) → out (H + 7, W + 7, 4): I, ∂I/∂x, ∂I/∂y, 0, with zeros around.

    The derivative is near (I₊₁ − I₋₁) + far (I₊₂ − I₋₂); the image continues as at its edge.
    """
    height, width = image.shape
    out[:] = 0
    for y in range(height):
        above, below = image[max(y - 1, 0)], image[min(y + 1, height - 1)]
        above2, below2 = image[max(y - 2, 0)], image[min(y + 2, height - 1)]
        row, target = image[y], out[y + 3]
        for x in range(width):
            left, right = row[max(x - 1, 0)], row[min(x + 1, width - 1)]
            left2, right2 = row[max(x - 2, 0)], row[min(x + 2, width - 1)]
            target[x + 3, 0] = row[x]
            target[x + 3, 1] = near * (right - left) + far * (right2 - left2)
            target[x + 3, 2] = near * (below[x] - above[x]) + far * (below2[x] - above2[x])


@compiled()
def _cubic(t: Any) -> Any:
    """The weights of the taps at −1, 0, 1 and 2 for a point at t in [0, 1)."""
    a, s = _F(-0.75), _F(1) - t
    first, last = a * t * s * s, a * s * t * t
    second = ((a + _F(2)) * t - (a + _F(3))) * t * t + _F(1)
    return first, second, _F(1) - first - second - last, last


@compiled()
def _taps_of_row(
    y: int, row: int, height: int, width: int, u1: Any, u2: Any, weights: Any, starts: Any
) -> None:
    """Where the 4 × 4 taps of each pixel of a row begin, and their weights along x and along y."""
    line = np.int32(4 * (width + 7))
    for x in range(width):
        i, k = _I(row + x), _I(x)
        # Beyond these limits every tap is zero.
        tx = min(max(_F(x) + u1[i], _F(-2)), _F(width + 1))
        ty = min(max(_F(y) + u2[i], _F(-2)), _F(height + 1))
        x0, y0 = np.floor(tx), np.floor(ty)
        starts[k] = (np.int32(y0) + np.int32(2)) * line + (np.int32(x0) + np.int32(2)) * np.int32(4)
        weights[0, k], weights[1, k], weights[2, k], weights[3, k] = _cubic(tx - x0)
        weights[4, k], weights[5, k], weights[6, k], weights[7, k] = _cubic(ty - y0)


@compiled()
def weighted_taps(image: Any, start: Any, line: Any, along_x: Any, along_y: Any) -> Any:
    """The sums over 4 × 4 taps of the first three of four interleaved numbers."""
    value, gx, gy = _F(0), _F(0), _F(0)
    for j in range(4):
        at = start + line * j
        row_value, row_gx, row_gy = _F(0), _F(0), _F(0)
        for i in range(4):
            tap = at + 4 * i
            row_value += image[tap] * along_x[i]
            row_gx += image[tap + 1] * along_x[i]
            row_gy += image[tap + 2] * along_x[i]
        value += row_value * along_y[j]
        gx += row_gx * along_y[j]
        gy += row_gy * along_y[j]
    return value, gx, gy


@intrinsic  # type: ignore[untyped-decorator]
def weighted_taps_in_vectors(
    _: Any, image: Any, start: Any, line: Any, along_x: Any, along_y: Any
) -> Any:
    """The same in vectors of four numbers, to the last bit, in half the time.

    Numba does not see that the four lie side by side. The vectors are LLVM's, which every processor has
    instructions for.
    """
    three = types.UniTuple(types.float32, 3)  # type: ignore[no-untyped-call]
    signature = three(image, start, line, along_x, along_y)
    index, vector = ir.IntType(32), ir.VectorType(ir.FloatType(), 4)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        image, start, line, along_x, along_y = arguments
        data = context.make_array(signature.args[0])(context, builder, image).data

        def repeated(weights: Any, position: int) -> Any:
            one = builder.extract_value(weights, position)
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), one, index(0))
            return builder.shuffle_vector(
                first, first, ir.Constant(ir.VectorType(index, 4), [0] * 4)
            )

        total = None
        for j in range(4):
            begin = builder.add(start, builder.mul(line, line.type(j)))
            of_row = None
            for i in range(4):
                place = builder.gep(data, [builder.add(begin, begin.type(4 * i))])
                four = builder.load(builder.bitcast(place, vector.as_pointer()), align=4)
                term = builder.fmul(four, repeated(along_x, i))
                of_row = builder.fadd(of_row, term) if of_row else term
            term = builder.fmul(of_row, repeated(along_y, j))
            total = builder.fadd(total, term) if total else term
        values = [builder.extract_element(total, index(i)) for i in range(3)]
        return context.make_tuple(builder, signature.return_type, values)

    return signature, generate


def _warp(image: Any, fields: Any, weights: Any, starts: Any) -> None:
    """Sample `interleave`'s image at x + u: I, ∂I/∂x, ∂I/∂y → RHO, GX, GY.

    Cubic convolution (Keys 1981) with A = −0.75, as OpenCV has it; outside of the image all is zero.
    Scratch: weights (8, W) and starts (W).
    """
    height, width = image.shape[0] - 7, image.shape[1] - 7
    line, flat = 4 * (width + 7), image.reshape(-1)
    step = _stride(width)
    u1, u2, value, gx, gy = fields[U1], fields[U2], fields[RHO], fields[GX], fields[GY]
    for y in range(height):
        row = (y + 1) * step
        _taps_of_row(y, row, height, width, u1, u2, weights, starts)
        for x in range(width):
            i, k = _I(row + x), _I(x)
            value[i], gx[i], gy[i] = _taps(
                flat,
                np.int64(starts[k]),
                np.int64(line),
                (weights[0, k], weights[1, k], weights[2, k], weights[3, k]),
                (weights[4, k], weights[5, k], weights[6, k], weights[7, k]),
            )


_WARP = "void(float32[:, :, ::1], float32[:, ::1], float32[:, ::1], int32[::1])"
# The vectors are written in the language of one compiler, which changes between its versions.
_taps: Any = weighted_taps_in_vectors
try:
    warp = compiled(_WARP)(_warp)
except Exception:
    _taps = weighted_taps
    warp = compiled(_WARP)(_warp)


@compiled("void(float32[:, ::1], float32[:, ::1])")
def linearise(image: Any, fields: Any) -> None:
    """ρ(u) = RHO + ⟨∇I₁, u⟩ around the present flow (Sánchez et al., Eq. 8); and |∇I₁|² → GRAD.

    `image` is I₀; RHO holds the warped I₁ and is overwritten with ρ's constant part.
    """
    height, width = image.shape
    step = _stride(width)
    u1, u2, rho, gx, gy, grad = (
        fields[U1], fields[U2], fields[RHO], fields[GX], fields[GY], fields[GRAD]
    )  # fmt: skip
    for y in range(height):
        row, line = (y + 1) * step, image[y]
        for x in range(width):
            i = _I(row + x)
            grad[i] = gx[i] * gx[i] + gy[i] * gy[i]
            rho[i] = rho[i] - gx[i] * u1[i] - gy[i] * u2[i] - line[_I(x)]


# The iterations


@compiled()
def _threshold(residual: Any, grad: Any, bound: Any) -> Any:
    """The k of v = u + k ∇I₁ (Zach et al., Eq. 15); `bound` is λθ."""
    k = -residual / grad if grad > _SMALLEST_GRADIENT else _F(0)
    limit = bound * grad
    return bound if residual < -limit else (-bound if residual > limit else k)


def _primal(exact: bool) -> Any:
    @compiled()
    def primal(
        start: int, count: int, step: int, bound: float, theta: float,
        u1: Any, u2: Any, p11: Any, p12: Any, p21: Any, p22: Any,
        rho: Any, gx: Any, gy: Any, grad: Any, ascent: Any, change: Any,
    ) -> None:  # fmt: skip
        """`count` pixels of u ← v + θ div p, and |Δu|² → change.

        `count` is a multiple of 16, which the mask tells the compiler.
        """
        for x in range(count & -16):
            i, left, above = _I(start + x), _I(start + x - 1), _I(start + x - step)
            a, b = u1[i], u2[i]
            k = _threshold(rho[i] + (gx[i] * a + gy[i] * b), grad[i], bound)
            div1 = (p11[i] - p11[left]) + (p12[i] - p12[above])
            div2 = (p21[i] - p21[left]) + (p22[i] - p22[above])
            if exact:  # OpenCV adds up the first column, which follows a spare one, in this order
                first = ascent[left] == 0
                div1 = p11[i] + p12[i] - p12[above] if first else div1
                div2 = p21[i] + p22[i] - p22[above] if first else div2
            new_a, new_b = a + k * gx[i] + theta * div1, b + k * gy[i] + theta * div2
            change[i] = (new_a - a) * (new_a - a) + (new_b - b) * (new_b - b)
            u1[i], u2[i] = new_a, new_b

    return primal


def _dual(exact: bool) -> Any:
    @compiled()
    def dual(
        start: int, count: int, step: int,
        u1: Any, u2: Any, p11: Any, p12: Any, p21: Any, p22: Any, ascent: Any, damping: Any,
    ) -> None:  # fmt: skip
        """`count` pixels of p ← (p + t ∇u) / (1 + t |∇u| / g), the semi-implicit ascent (Chambolle 2004).

        `ascent` holds t = τ/θ and `damping` t/g.
        """
        for x in range(count & -16):
            i, right, below = _I(start + x), _I(start + x + 1), _I(start + x + step)
            ax, ay = u1[right] - u1[i], u1[below] - u1[i]
            bx, by = u2[right] - u2[i], u2[below] - u2[i]
            if exact:  # as `hypot` rounds
                norm_a = _F(np.sqrt(_D(ax) * _D(ax) + _D(ay) * _D(ay)))
                norm_b = _F(np.sqrt(_D(bx) * _D(bx) + _D(by) * _D(by)))
            else:
                norm_a, norm_b = np.sqrt(ax * ax + ay * ay), np.sqrt(bx * bx + by * by)
            t, damp = ascent[i], damping[i]
            scale_a, scale_b = _F(1) + damp * norm_a, _F(1) + damp * norm_b
            p11[i], p12[i] = (p11[i] + t * ax) / scale_a, (p12[i] + t * ay) / scale_a
            p21[i], p22[i] = (p21[i] + t * bx) / scale_b, (p22[i] + t * by) / scale_b

    return dual


_primal_exact, _primal_fast = _primal(True), _primal(False)
_dual_exact, _dual_fast = _dual(True), _dual(False)


@compiled()
def _continue_edges(
    first: int, last: int, height: int, width: int, step: int, u1: Any, u2: Any
) -> None:
    """Repeat u beyond the right edge of these rows, and below the last: no difference across them."""
    for y in range(first, last):
        i = (y + 1) * step + width
        u1[i], u2[i] = u1[i - 1], u2[i - 1]
    if first < last == height:
        for i in range((height + 1) * step, (height + 2) * step):
            u1[i], u2[i] = u1[i - step], u2[i - step]


@compiled()
def _total(change: Any, in_order: bool) -> Any:
    """The sum of |Δu|²; in order, as OpenCV adds it up, which in single precision loses a little."""
    sums = np.zeros(16, np.float32)
    if in_order:
        for i in range(len(change)):
            sums[0] += change[_I(i)]
    else:
        for start in range(0, len(change), 16):
            for lane in range(16):
                sums[lane] += change[_I(start + lane)]
    return sums.sum()


@compiled(
    f"Tuple((int64, boolean))({'float32[::1], ' * 13} int64, int64, int64, int64, "
    "float32, float32, float32, boolean)"
)
def iterate(
    u1: Any, u2: Any, p11: Any, p12: Any, p21: Any, p22: Any,
    rho: Any, gx: Any, gy: Any, grad: Any, ascent: Any, damping: Any, change: Any,
    height: int, width: int, iterations: int, depth: int,
    bound: float, theta: float, stop: float, exact: bool,
) -> tuple[int, bool]:  # fmt: skip
    """Up to `iterations` of u and p in turn, each on the whole field; how many, and if it converged.

    The work goes down the picture in bands of some rows. The dual step follows the primal step at one
    row's distance, and `depth` iterations follow each other at one band and one row: the numbers are
    those of one whole iteration after the other, and a band is in the cache while all of them pass.
    With a depth of 1 the sum of |Δu|² is compared with `stop` after each iteration.
    """
    step = _stride(width)
    rows = max(1, 3072 // step)
    done = 0
    while done < iterations:
        depth = min(depth, iterations - done)
        for front in range(0, height + 1 + (depth - 1) * (rows + 1), rows):
            for behind in range(depth):
                begin = front - behind * (rows + 1)
                first, last = max(begin, 0), min(begin + rows, height)
                start, count = (first + 1) * step, max(last - first, 0) * step
                if exact:
                    _primal_exact(
                        start, count, step, bound, theta,
                        u1, u2, p11, p12, p21, p22, rho, gx, gy, grad, ascent, change,
                    )  # fmt: skip
                else:
                    _primal_fast(
                        start, count, step, bound, theta,
                        u1, u2, p11, p12, p21, p22, rho, gx, gy, grad, ascent, change,
                    )  # fmt: skip
                _continue_edges(first, last, height, width, step, u1, u2)
                # The row under the band is not up to date yet; under the last one there is none.
                first, last = max(begin - 1, 0), min(begin + rows - 1, height)
                start, count = (first + 1) * step, max(last - first, 0) * step
                if exact:
                    _dual_exact(start, count, step, u1, u2, p11, p12, p21, p22, ascent, damping)
                else:
                    _dual_fast(start, count, step, u1, u2, p11, p12, p21, p22, ascent, damping)
        done += depth
        if depth == 1 and stop >= 0:
            total = _total(change, False)
            # Only near the threshold does the order of the sum decide.
            if exact and _F(0.9) * stop < total < _F(1.1) * stop:
                total = _total(change, True)
            if total <= stop:
                return done, True
    return done, False
