"""TV-L1 for many pairs of frames at once, on a device that PyTorch has: from frames to flow.

`tvl1` names the papers and tells the method. This file is its order for a batch: the pyramids, which a
frame shares between its two pairs, and the way from the coarsest level to the finest. What happens
within a level is handed in as a function, because that is what takes the time: `tvl1_torch` has it in
PyTorch's own operations, `tvl1_triton` in kernels.

Images are float32 (N, H, W) in gray levels and flow is float32 (P, 2, H, W) in pixels. As in `_images`,
no operation looks across the pictures of a batch, and none waits for the device but where a size is new.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from flowcache.algorithms._images import filtered, gaussian, pairs, resized
from flowcache.algorithms._tvl1_options import LOCAL_MEAN, WIDEST_EDGE, Options


class Level(Protocol):
    """The flow between images of one size, beginning from another flow."""

    def __call__(
        self, options: Options, image0: Tensor, image1: Tensor, damping: Tensor, start: Tensor
    ) -> Tensor:
        """Images and damping t/g (P, H, W), start (P, 2, H, W) → flow (P, 2, H, W)."""
        ...


def coarse_to_fine(options: Options, stacks: Sequence[Tensor], step: int, level: Level) -> Tensor:
    """Stacks of uint8 (T, H, W), all of one size → float32 (P, 2, H, W), one after the other.

    A stack has a field for each pair of frames t and t + step.
    """
    flow = None
    for images in reversed(pyramid(options, torch.cat(list(stacks)))):
        image0, image1 = pairs(images, [len(s) for s in stacks], step)
        height, width = images.shape[1:]
        if flow is None:
            flow = images.new_zeros(len(image0), 2, height, width)
        else:
            flow = resized(flow, height, width) / options.scale_step
        damping = options.tau / options.theta * inverse_edge_weight(options, image0)
        flow = level(options, image0, image1, damping, flow)
    assert flow is not None  # a pyramid has a level
    return flow


def pyramid(options: Options, frames: Tensor) -> list[Tensor]:
    """uint8 (N, H, W) → the frames and ever smaller ones."""
    images = frames.float()
    if options.presmoothing:
        images = blurred(images, options.presmoothing)
    levels = [images]
    for height, width in options.sizes(*frames.shape[1:])[1:]:
        levels.append(resized(levels[-1], height, width, options.scale_step))
    if not options.coarse_texture:
        return levels
    return [
        image - options.coarse_texture * blurred(image, LOCAL_MEAN)
        if 2 * image.shape[1] < frames.shape[1]
        else image
        for image in levels
    ]


def inverse_edge_weight(options: Options, images: Tensor) -> Tensor:
    """1/g = exp(α |∇I|)."""
    if not options.edge_weight:
        return torch.ones_like(images)
    dx, dy = gradient(images, (0.5, 0.0))
    return torch.exp(options.edge_weight * (dx * dx + dy * dy).sqrt()).clamp(max=WIDEST_EDGE)


def gradient(images: Tensor, weights: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """∂I/∂x and ∂I/∂y as weighted differences at distances one and two, the edges repeated."""
    near, far = weights
    wide, high = pad(images, (2, 2, 0, 0), "replicate"), pad(images, (0, 0, 2, 2), "replicate")
    dx = near * (wide[..., 3:-1] - wide[..., 1:-3])
    dy = near * (high[:, 3:-1] - high[:, 1:-3])
    if far:
        dx += far * (wide[..., 4:] - wide[..., :-4])
        dy += far * (high[:, 4:] - high[:, :-4])
    return dx, dy


def blurred(images: Tensor, sigma: float) -> Tensor:
    """A Gaussian of width σ pixels over each image, as wide as OpenCV makes it for float images."""
    return filtered(images, gaussian(sigma, (round(8 * sigma + 1) | 1) // 2))


# Medians


@cache
def median_network(side: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """Comparisons that bring the median of side × side values to one place, and that place.

    Each comparison (i, j) puts the smaller of two values at i and the larger at j. First the columns
    are sorted, then the rows. After that a value stands below those to its right and underneath, which
    rules out the corners; of the rest the smallest and the largest are dropped again and again from a
    group that is just large enough for neither to be the median.
    """
    half = side * side // 2 + 1
    lines = [[row * side + column for row in range(side)] for column in range(side)]
    lines += [[row * side + column for column in range(side)] for row in range(side)]
    network = [pair for line in lines for pair in _sorting(line)]
    left = [
        row * side + column
        for row in range(side)
        for column in range(side)
        if (row + 1) * (column + 1) <= half and (side - row) * (side - column) <= half
    ]
    size = len(left) // 2 + 2
    group, rest = left[:size], left[size:]
    while len(group) > 1:
        network += pairwise(group)  # the largest goes to the end
        group.pop()
        network += reversed(list(pairwise(group)))  # and the smallest to the beginning
        group = [*group[1:], *rest[:1]]
        rest = rest[1:]
    return _without_idle(network, group[0]), group[0]


def _sorting(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    for end in range(len(places), 1, -1):
        yield from pairwise(places[:end])


def _without_idle(network: Sequence[tuple[int, int]], place: int) -> tuple[tuple[int, int], ...]:
    """The comparisons on which the value at a place depends."""
    needed, kept = {place}, []
    for pair in reversed(network):
        if needed & {*pair}:
            needed |= {*pair}
            kept.append(pair)
    return tuple(reversed(kept))
