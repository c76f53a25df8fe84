"""The two-stream network: Simonyan & Zisserman, "Two-Stream Convolutional Networks", NIPS 2014.

CNN-M-2048 on one frame is the spatial stream, on a stack of ten flow fields the temporal one.
"""

from torch import nn

from twostream import backbones
from twostream.nets.layers import Stacked, check_share
from twostream.nets.model_card import Card

CARD = Card(paper="Simonyan & Zisserman, Two-Stream Convolutional Networks, NIPS", year=2014)


def create(*, channels: int, length: int, classes: int, dropout: float = 0.9) -> nn.Module:
    """CNN-M-2048 for clips of `length` frames of `channels` channels, stacked."""
    check_share(dropout=dropout)
    frames = backbones.create(
        "cnn_m_2048", channels=channels * length, classes=classes, dropout=dropout
    )
    return Stacked(frames, channels)
