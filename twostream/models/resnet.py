"""The two-stream network with a ResNet in each stream: Feichtenhofer et al., NIPS 2016, section 3.

A frame, or a stack of flow fields as channels, through the residual network of He et al. 2016.
"""

from typing import Literal

from torch import nn

from twostream import backbones
from twostream.nets.layers import Stacked, check_share
from twostream.nets.model_card import Card

CARD = Card(
    paper="Feichtenhofer et al., Spatiotemporal Residual Networks, NIPS",
    year=2016,
    weights="torchvision's",
)


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    depth: Literal["18", "34", "50"] = "18",
    dropout: float = 0.5,
) -> nn.Module:
    """A ResNet for clips of `length` frames of `channels` channels, stacked."""
    check_share(dropout=dropout)
    frames = backbones.create(
        f"resnet{depth}", channels=channels * length, classes=classes, dropout=dropout
    )
    return Stacked(frames, channels)
