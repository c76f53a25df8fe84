"""A network with the door that every clip comes through: integers in, normalised floats on."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalized(nn.Module):
    """value = (number × scale − mean) × gain + shift, and then the network.

    scale, shift: per channel, fixed for the stream and its cache; kept in the state, so that a
        checkpoint carries them. mean (per plane) and gain (per channel) come with each clip, where its
        numbers are the stored integers.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, scale: Sequence[float], shift: Sequence[float]) -> None:
        super().__init__()
        # Channels innermost in memory: on a processor an EfficientNet trains in four fifths of the time
        # and answers in two fifths.
        for kernel in network.parameters():
            if kernel.ndim == 4:
                kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
        self.network = network
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

    def set_scale(self, scale: Sequence[float]) -> None:
        """Read clips whose integers have another step."""
        self.scale = torch.tensor(scale, device=self.scale.device)[:, None, None]
