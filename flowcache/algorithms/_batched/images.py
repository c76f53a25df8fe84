"""Operations on batches of images on a device, float32 (N, H, W) or (…, H, W).

No operation mixes the images of a batch, so a field does not depend on which others it was computed
with. None waits for the device, except the first time that a size occurs.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad


def pairs(images: Tensor, lengths: Sequence[int], step: int) -> tuple[Tensor, Tensor]:
    """The first and the second images of all pairs within stacks of these lengths: (P, …) each."""
    stacks = torch.split(images, list(lengths))
    return torch.cat([s[:-step] for s in stacks]), torch.cat([s[step:] for s in stacks])


def gaussian(sigma: float, radius: int) -> list[float]:
    """The weights of a Gaussian of width σ, cut off at a radius, which add up to 1."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return [float(weight) for weight in weights / weights.sum()]


def filtered(images: Tensor, weights: Sequence[float], border: str = "replicate") -> Tensor:
    """Each image's sums over its neighbours, weighted along x and along y, in one size."""
    for axis in (images.ndim - 1, images.ndim - 2):
        images = filtered_along(axis, images, weights, border)
    return images


def filtered_along(
    axis: int, images: Tensor, weights: Sequence[float], border: str = "replicate"
) -> Tensor:
    """The same along one axis; `border` is `pad`'s, "replicate" or "reflect"."""
    size, radius = images.shape[axis], len(weights) // 2
    if size <= radius:  # nothing to reflect
        border = "replicate"
    margins = (radius, radius, 0, 0) if axis == images.ndim - 1 else (0, 0, radius, radius)
    wide = pad(images.flatten(0, -3)[None], margins, border)[0]
    wide = wide.view(*images.shape[:-2], *wide.shape[-2:])
    result = torch.zeros_like(images)
    for start, weight in enumerate(weights):
        if weight:
            result.add_(wide.narrow(axis, start, size), alpha=weight)
    return result


def resized(images: Tensor, height: int, width: int, scale: float | None = None) -> Tensor:
    """Bilinear, (…, H, W) → (…, height, width); `scale` is the exact factor, by default the sizes'.

    As in OpenCV, images that have the size already stay as they are, whatever the factor.
    """
    if images.shape[-2:] == (height, width):
        return images
    for axis, size in ((images.ndim - 2, height), (images.ndim - 1, width)):
        length = images.shape[axis]
        before, after, share = _taps(length, size, scale or size / length, images.device)
        share = share.view(-1, *[1] * (images.ndim - 1 - axis))
        images = torch.lerp(
            images.index_select(axis, before), images.index_select(axis, after), share
        )
    return images


@cache  # for good: another stream may still be reading what would be dropped
def _taps(
    length: int, size: int, scale: float, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Between which two of `length` samples each of `size` lies, and how near to the second."""
    where = np.clip((np.arange(size) + 0.5) / scale - 0.5, 0, length - 1)
    before = np.floor(where).astype(np.int64)
    after, share = np.minimum(before + 1, length - 1), (where - before).astype(np.float32)
    before_, after_, share_ = (torch.from_numpy(a).to(device) for a in (before, after, share))
    return before_, after_, share_
