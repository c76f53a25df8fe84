"""What the parts of TV-L1 cost: nanoseconds for a pixel, on one thread.

    python benchmarks/tvl1_kernels.py

The iterations by frame size and by how many of them pass over a band of rows while it is in the cache;
and, once for each pixel, sampling the image and its gradient, beside OpenCV's remap, and the median.
"""

import statistics
import time
from collections.abc import Callable

import common
import cv2
import numpy as np

from flowcache.algorithms.tvl1 import kernels

SIZES = [(85, 64), (340, 256), (640, 480), (1920, 1080)]
DEPTHS = [1, 2, 4, 8]
ITERATIONS = 16


def nanoseconds(pixels: int, work: Callable[..., object], *arguments: object) -> str:
    """For a pixel: the median of nine runs."""
    work(*arguments)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        work(*arguments)
        times.append(time.perf_counter() - start)
    return f"{1e9 * statistics.median(times) / pixels:.2f}"


def of_size(width: int, height: int) -> tuple[list[list[str]], list[str]]:
    """The lines of the two tables."""
    random = np.random.default_rng(0)
    fields = kernels.fields(kernels.memory(height, width), height, width)
    whole = kernels.inside(fields, height, width)
    whole[: kernels.U2 + 1] = random.normal(0, 1, (2, height, width))
    whole[kernels.RHO : kernels.GY + 1] = random.normal(0, 9, (3, height, width))
    whole[kernels.GRAD] = whole[kernels.GX] ** 2 + whole[kernels.GY] ** 2
    whole[kernels.ASCENT] = whole[kernels.DAMPING] = 0.25 / 0.3
    bound, theta, stop = np.float32(0.045), np.float32(0.3), np.float32(-1)
    name, pixels = f"{width}x{height}", width * height
    iterations = []
    for exact in (False, True):
        options = [[height, width, ITERATIONS, d, bound, theta, stop, exact] for d in DEPTHS]
        costs = [nanoseconds(ITERATIONS * pixels, kernels.iterate, *fields, *o) for o in options]
        iterations.append([name, "exact" if exact else "", *costs])

    image = random.normal(100, 50, (height + 7, width + 7, 4)).astype(np.float32)
    weights, starts = np.empty((8, width), np.float32), np.empty(width, np.int32)
    x = np.arange(width, dtype=np.float32) + whole[kernels.U1]
    y = np.arange(height, dtype=np.float32)[:, None] + whole[kernels.U2]
    picture, flow = np.ascontiguousarray(image[3:-4, 3:-4]), np.ascontiguousarray(whole[0])
    once = [
        name,
        nanoseconds(pixels, kernels.warp, image, fields, weights, starts),
        nanoseconds(pixels, cv2.remap, picture, x, y, cv2.INTER_CUBIC),
        nanoseconds(pixels, cv2.medianBlur, flow, 5),
    ]
    return iterations, once


def main() -> None:
    cv2.setNumThreads(1)
    print(f"{common.machine()}, one thread\n")
    tables = [of_size(*size) for size in SIZES]
    header = ["an iteration", "", *(f"{d} at a time" for d in DEPTHS)]
    print(common.table(header, [line for lines, _ in tables for line in lines]), end="\n\n")
    header = ["once", "sampling", "OpenCV's remap", "a median of 5x5"]
    print(common.table(header, [line for _, line in tables]))


if __name__ == "__main__":
    main()
