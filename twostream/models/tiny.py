"""A small network that learns in a minute on a CPU; it follows no paper."""

from torch import nn

from twostream import backbones
from twostream.nets.layers import Stacked, check_share
from twostream.nets.model_card import Card

CARD = Card(paper="none: small, for trying things out", year=2026, size=64)


def create(
    *, channels: int, length: int, classes: int, width: int = 16, dropout: float = 0.2
) -> nn.Module:
    """A small network for clips of `length` frames of `channels` channels, stacked."""
    check_share(dropout=dropout)
    frames = backbones.create(
        "tiny", channels=channels * length, classes=classes, dropout=dropout, width=width
    )
    return Stacked(frames, channels)
