"""Training clips that are mixed with one another, or blanked in part, where they are computed.

All of it happens behind the normalisation, where 0 is the mean gray or no motion.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from twostream.runs.training_options import Schedule


class Mixed(NamedTuple):
    """Clips of which each is its own video by the share `share`, and its partner's by the rest.

    values: float (B·S, T, C, H, W); the S segments of a video stand together. partner: int64 (B,), the
    number of each video's partner. share: the same for all.
    """

    values: Tensor
    partner: Tensor
    share: float


def mix(values: Tensor, segments: int, plan: Schedule) -> Mixed:
    """Blank and mix a batch (B·S, T, C, H, W) as the options say; the generator of torch is drawn from.

    With both kinds of mixing each batch has the one or the other, by chance.
    """
    if plan.erase:
        values = erased(values, segments, plan.erase)
    videos = len(values) // segments
    partner = torch.arange(videos, device=values.device)
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(plan, kind)]
    if not kinds:
        return Mixed(values, partner, 1.0)
    kind = kinds[int(torch.randint(len(kinds), ()))]
    parameter = torch.tensor(float(getattr(plan, kind)))
    share = float(torch.distributions.Beta(parameter, parameter).sample())
    partner = torch.randperm(videos).to(values.device)
    others = torch.unflatten(values, 0, (videos, segments))[partner].flatten(0, 1)
    if kind == "mixup":
        return Mixed(share * values + (1 - share) * others, partner, share)
    height, width = values.shape[-2:]
    top, left, high, wide = _rectangle(height, width, (1 - share) ** 0.5, (1 - share) ** 0.5)
    values = values.clone()
    place = (..., slice(top, top + high), slice(left, left + wide))
    values[place] = others[place]
    return Mixed(values, partner, 1 - high * wide / (height * width))


def erased(values: Tensor, segments: int, share: float) -> Tensor:
    """Blank a rectangle of a share of the videos, the same in all their frames.

    Its area is 2 to 33 % of the picture, its proportion 3:10 to 10:3 (Zhong et al. 2020, "Random Erasing
    Data Augmentation", section 3).
    """
    values = values.clone()
    height, width = values.shape[-2:]
    for video in torch.unflatten(values, 0, (-1, segments)):
        if float(torch.rand(())) >= share:
            continue
        area = float(torch.empty(()).uniform_(0.02, 0.33))
        proportion = float(torch.empty(()).uniform_(0.3, 1 / 0.3))
        high, wide = (area * proportion) ** 0.5, (area / proportion) ** 0.5
        top, left, rows, columns = _rectangle(height, width, high, wide)
        video[..., top : top + rows, left : left + columns] = 0
    return values


def _rectangle(height: int, width: int, high: float, wide: float) -> tuple[int, int, int, int]:
    """Top, left, height and width of a rectangle at a random place, from its sides as shares of 1."""
    rows, columns = min(height, round(height * high)), min(width, round(width * wide))
    top = int(torch.randint(height - rows + 1, ()))
    left = int(torch.randint(width - columns + 1, ()))
    return top, left, rows, columns
