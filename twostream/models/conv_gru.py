"""GRU-RCN: Ballas, Yao, Pal, Courville, "Delving Deeper into Convolutional Networks for Learning Video
Representations", ICLR 2016, section 3.

Convolutional GRUs follow the maps of a 2-D network over time, at one or several of its resolutions, and
keep where things happen. Each level has a classifier; their predictions are averaged.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from twostream import backbones
from twostream.nets.layers import OverBackbone, check_share
from twostream.nets.model_card import Card

CARD = Card(
    paper="Ballas et al., Delving Deeper into Convolutional Networks, ICLR",
    year=2016,
    length=10,
    weights="the backbone's",
)


class ConvGRU(nn.Module):
    """A GRU whose products are 3×3 convolutions (equations 5 to 8): (B, T, C, H, W) → (B, T, D, H, W)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        # Gates and candidate see the input by one convolution each, computed for all frames at once.
        self.of_input = nn.Conv2d(channels, 3 * hidden, 3, padding=1)
        self.gates_of_state = nn.Conv2d(hidden, 2 * hidden, 3, padding=1, bias=False)
        self.candidate_of_state = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, T, C, H, W) → states (B, T, D, H, W); the one at t depends on maps up to t alone."""
        from_input = self.of_input(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
        state = torch.zeros_like(from_input[:, 0].chunk(3, 1)[0])
        states = []
        for now in from_input.unbind(1):
            update, reset, candidate = now.chunk(3, 1)
            update_of_state, reset_of_state = self.gates_of_state(state).chunk(2, 1)
            z = torch.sigmoid(update + update_of_state)
            r = torch.sigmoid(reset + reset_of_state)
            h = torch.tanh(candidate + self.candidate_of_state(r * state))
            state = (1 - z) * state + z * h
            states.append(state)
        return torch.stack(states, 1)


class GRURCN(OverBackbone):
    """(B, T, C, H, W) → logits (B, K), for any T."""

    def __init__(
        self, backbone: nn.Module, at: Sequence[int], hidden: int, classes: int, dropout: float
    ) -> None:
        super().__init__(backbone, head="fc", fresh=("levels", "fc"))
        self._at = tuple(at)
        widths = self.backbone.map_widths
        self.levels = nn.ModuleList(ConvGRU(widths[i], hidden) for i in self._at)
        self.dropout = nn.Dropout(dropout)
        # One classifier a level, and the mean of their logits, is one linear layer over all levels.
        self.fc = nn.Linear(len(self._at) * hidden, classes)

    def steps(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, T, K); those at t depend on the frames up to t alone."""
        maps = self.backbone.maps(clip.flatten(0, 1))
        states = [
            level(maps[i].unflatten(0, clip.shape[:2])).mean((3, 4))
            for i, level in zip(self._at, self.levels, strict=True)
        ]
        logits: Tensor = self.fc(self.dropout(torch.cat(states, 2)))
        return logits

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K) after the last frame."""
        return self.steps(clip)[:, -1]


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    backbone: str = "resnet18",
    at: str = "-2,-1",
    hidden: int = 128,
    dropout: float = 0.5,
) -> GRURCN:
    """A 2-D network for frames of `channels` channels under convolutional GRUs of `hidden` channels.

    at: which of the network's resolutions are followed, by number from the finest (0) on, or from the
        coarsest (-1) back.
    """
    check_share(dropout=dropout)
    if hidden < 1:
        raise ValueError(f"hidden={hidden} must be 1 or more")
    frames = backbones.create(backbone, channels=channels, classes=None, dropout=dropout)
    return GRURCN(frames, _levels(at, len(frames.map_widths)), hidden, classes, dropout)


def _levels(text: str, count: int) -> list[int]:
    """ValueError unless `text` lists different resolutions that there are."""
    known = {str(level): level % count for level in range(-count, count)}
    words = [word.strip() for word in text.split(",")]
    if not all(word in known for word in words):
        raise ValueError(
            f"at={text} must list numbers from 0 to {count - 1}, or from -{count} to -1"
        )
    levels = [known[word] for word in words]
    if len(set(levels)) < len(levels):
        raise ValueError(f"at={text} names a resolution twice")
    return levels
