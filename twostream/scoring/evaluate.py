"""Clips → one vector of logits a video."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn

from flowcache.types import Float32


@torch.inference_mode()
def average_logits(
    model: nn.Module,
    batches: Iterable[object],
    videos: int,
    device: torch.device,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Float32:
    """The mean of the logits of all clips and crops of each video: (videos, K).

    `batches` hold `clip`, `mean`, `gain` and `video`, the number of the video of each clip.
    `on_batch` is given the number of clips after each batch. ValueError for a video without a clip.
    """
    model = model.to(device).eval()
    total: torch.Tensor | None = None
    count = torch.zeros(videos)
    for batch in batches:
        inputs = (part.to(device, non_blocking=True) for part in batch[:3])  # type: ignore[index]
        logits = model(*inputs).float().cpu()
        if total is None:
            total = torch.zeros(videos, logits.shape[1], dtype=torch.float64)
        total.index_add_(0, batch.video, logits.double())  # type: ignore[attr-defined]
        count.index_add_(0, batch.video, torch.ones(len(logits)))  # type: ignore[attr-defined]
        on_batch(len(logits))
    if total is None or (count == 0).any():
        raise ValueError("a video has no clip")
    return np.asarray((total / count[:, None]).float().numpy())
