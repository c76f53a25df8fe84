"""TV-L1 as one would write it down: whole arrays, no tricks, every step in the order of the papers.

`flowcache/algorithms/tvl1/cpu.py` names the sources. NumPy alone, but for the Gaussian.
"""

import cv2
import numpy as np


def tvl1(
    first, second, *, tau, lambda_, theta, nscales, scale_step, warps, epsilon, inner_iterations,
    outer_iterations, median_filtering, presmoothing, coarse_texture, five_point_derivative, edge_weight,
):  # fmt: skip
    """Two uint8 (H, W) → float64 (2, H, W)."""
    pyramid = [[presmooth(image.astype(float), presmoothing) for image in (first, second)]]
    while len(pyramid) < nscales:
        size = [round(scale_step * side) for side in pyramid[-1][0].shape]
        if min(size) < 16:
            break
        pyramid.append([resize(image, size, (scale_step, scale_step)) for image in pyramid[-1]])

    for level in pyramid:
        if 2 * level[0].shape[0] < first.shape[0]:
            level[:] = [image - coarse_texture * presmooth(image, 2) for image in level]

    u = np.zeros((2, *pyramid[-1][0].shape))
    for image0, image1 in reversed(pyramid):
        height, width = image0.shape
        if image0 is not pyramid[-1][0]:
            ratio = height / u.shape[1], width / u.shape[2]
            u = np.stack([resize(c, image0.shape, ratio) for c in u]) / scale_step
        gradient1 = gradient(image1, five_point_derivative)
        g = np.exp(-edge_weight * np.hypot(*gradient(image0, five_point=False)))
        g = np.maximum(g, 1 / 50)
        p = np.zeros((2, 2, height, width))
        y, x = np.mgrid[:height, :width]
        for _ in range(warps):
            warped = warp(image1, x + u[0], y + u[1])
            nabla = np.stack([warp(c, x + u[0], y + u[1]) for c in gradient1])
            grad = (nabla**2).sum(0)
            constant = warped - (nabla * u).sum(0) - image0
            for _ in range(outer_iterations):
                u = np.stack([median(c, median_filtering) for c in u])
                for _ in range(inner_iterations):
                    before = u
                    v = u + threshold(constant + (nabla * u).sum(0), grad, lambda_ * theta) * nabla
                    u = v + theta * np.stack([divergence(c) for c in p])
                    du = np.stack([forward_difference(c) for c in u])
                    length = np.hypot(du[:, 0], du[:, 1])[:, None]
                    p = (p + tau / theta * du) / (1 + tau / theta * length / g)
                    if epsilon and ((u - before) ** 2).sum() <= epsilon**2 * height * width:
                        break
                else:
                    continue
                break
    return u


def presmooth(image, sigma):
    if not sigma:
        return image
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def resize(image, size, factors):
    """Bilinear: a pixel's centre at x + 1/2 in the result is at (x + 1/2) / factor in the image."""
    for axis, (new, factor) in enumerate(zip(size, factors, strict=True)):
        old = image.shape[axis]
        place = np.clip((np.arange(new) + 0.5) / factor - 0.5, 0, old - 1)
        image = np.apply_along_axis(
            lambda a, p=place: np.interp(p, np.arange(len(a)), a), axis, image
        )
    return image


def gradient(image, five_point):
    near, far = (8 / 12, -1 / 12) if five_point else (1 / 2, 0)
    padded = np.pad(image, 2, mode="edge")

    def at(dx, dy):
        return padded[2 + dy : padded.shape[0] - 2 + dy, 2 + dx : padded.shape[1] - 2 + dx]

    return np.stack(
        [
            near * (at(1, 0) - at(-1, 0)) + far * (at(2, 0) - at(-2, 0)),
            near * (at(0, 1) - at(0, -1)) + far * (at(0, 2) - at(0, -2)),
        ]
    )


def warp(image, x, y):
    """Cubic convolution with A = −3/4; zero outside."""
    height, width = image.shape
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    result = np.zeros(x.shape)
    for j in range(-1, 3):
        for i in range(-1, 3):
            column, row = x0 + i, y0 + j
            known = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            value = image[row.clip(0, height - 1), column.clip(0, width - 1)]
            result += np.where(known, cubic(x - column) * cubic(y - row) * value, 0)
    return result


def cubic(t, a=-0.75):
    t = np.abs(t)
    inner = (a + 2) * t**3 - (a + 3) * t**2 + 1
    outer = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return np.where(t <= 1, inner, np.where(t < 2, outer, 0))


def median(component, side):
    padded = np.pad(component, side // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    return np.median(windows, axis=(2, 3))


def threshold(rho, grad, bound):
    small = grad <= np.finfo(np.float32).eps
    inner = -rho / np.where(small, 1, grad)
    return np.where(small, 0, np.clip(inner, -bound, bound))


def divergence(p):
    dx = np.diff(p[0], axis=1, prepend=0)
    dy = np.diff(p[1], axis=0, prepend=0)
    return dx + dy


def forward_difference(component):
    dx = np.diff(component, axis=1, append=component[:, -1:])
    dy = np.diff(component, axis=0, append=component[-1:])
    return np.stack([dx, dy])
