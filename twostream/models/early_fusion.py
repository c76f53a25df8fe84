"""Early fusion: Karpathy et al., "Large-scale Video Classification with CNNs", CVPR 2014, section 3.1.

The first convolution of a 2-D network sees all frames of the clip; behind it there is no time left.
On flow this is the temporal stream of Simonyan & Zisserman 2014.
"""

from torch import nn

from twostream import backbones
from twostream.nets.layers import Stacked, check_share
from twostream.nets.model_card import Card

CARD = Card(
    paper="Karpathy et al., Large-scale Video Classification with CNNs, CVPR",
    year=2014,
    length=10,
    weights="the backbone's",
)


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    backbone: str = "resnet18",
    dropout: float = 0.5,
) -> nn.Module:
    """A 2-D network for clips of `length` frames of `channels` channels, stacked."""
    check_share(dropout=dropout)
    frames = backbones.create(
        backbone, channels=channels * length, classes=classes, dropout=dropout
    )
    return Stacked(frames, channels)
