"""A network that PyTorch computes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import nn

from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.nets.normalize import Normalized
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.spec import Spec
from twostream.scoring.evaluate import device_of


@dataclass(frozen=True)
class TorchNetwork:
    """Of a checkpoint, on the GPU where there is one; see `Network`."""

    spec: Spec
    model: Normalized
    device: torch.device

    @classmethod
    def load(cls, path: Path, network: nn.Module | None = None) -> Self:
        """From a checkpoint; see `load_checkpoint`."""
        model, spec = load_checkpoint(path, network)
        device = device_of("auto")
        return cls(spec, model.to(device), device)

    @torch.inference_mode()
    def logits(self, clip: Clip) -> Float32:
        """Of each of B clips: (B, K)."""
        values, mean, gain = (torch.from_numpy(part).to(self.device) for part in clip)
        logits: Float32 = self.model(values, mean, gain).float().cpu().numpy()
        return logits
