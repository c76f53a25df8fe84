"""A network with the door that every clip comes through: integers in, normalised floats on."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalized(nn.Module):
    """value = (number × scale − mean) × gain + shift, and then the network.

    scale, shift: per channel; kept in the state, so that a checkpoint carries its normalisation. mean
        (per plane) and gain (per channel) come with each clip, where its numbers are the stored integers.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: nn.Module,
        step: Sequence[float],
        mean_and_std: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        """Normalise what a network is given.

        step: what one integer step of each channel is worth. mean_and_std: of each channel, such that the
            network sees (number × step − mean) / std; without them it sees number × step.
        """
        super().__init__()
        # Channels innermost in memory: on a processor an EfficientNet trains in four fifths of the time
        # and answers in two fifths.
        for kernel in network.parameters():
            if kernel.ndim == 4:
                kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
        self.network = network
        self.step = tuple(step)
        mean, std = mean_and_std or ([0.0] * len(step), [1.0] * len(step))
        scale = [size / deviation for size, deviation in zip(step, std, strict=True)]
        shift = [-offset / deviation for offset, deviation in zip(mean, std, strict=True)]
        self.register_buffer("scale", torch.tensor(scale)[:, None, None])
        self.register_buffer("shift", torch.tensor(shift)[:, None, None])

    def forward(
        self, clip: Tensor, mean: Tensor | None = None, gain: Tensor | None = None
    ) -> Tensor:
        """Clip (B, T, C, H, W), mean (B, T, C), gain (B, C) → logits (B, K)."""
        logits: Tensor = self.network(self.normalise(clip, mean, gain))
        return logits

    def normalise(
        self, clip: Tensor, mean: Tensor | None = None, gain: Tensor | None = None
    ) -> Tensor:
        """What the network sees of a clip: floats (B, T, C, H, W)."""
        values = clip.to(self.scale.dtype) * self.scale
        if mean is not None:
            values = values - mean[..., None, None]
        if gain is not None:
            values = values * gain[:, None, :, None, None]
        return values + self.shift

    def scale_for(self, step: Sequence[float]) -> Tensor:
        """The scale for clips whose integers have another step, (C, 1, 1)."""
        change = [new / old for new, old in zip(step, self.step, strict=True)]
        return self.scale * torch.tensor(change, device=self.scale.device)[:, None, None]

    def set_scale(self, step: Sequence[float]) -> None:
        """Read clips whose integers have another step; the standard deviations stay."""
        self.scale = self.scale_for(step)
        self.step = tuple(step)
