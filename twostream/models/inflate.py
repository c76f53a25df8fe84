"""Inflation: Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, section 2.4.

A 2-D network becomes a 3-D one: kernels are repeated in time and divided by their length. Time is not
strided, and a clip goes on before its first and after its last frame with copies of them, so on a clip of
one repeated frame the network says exactly what the 2-D network says of that frame.
"""

from torch import nn

from twostream import backbones
from twostream.nets.layers import Extended, check_share, extend_in_time
from twostream.nets.model_card import Card

CARD = Card(
    paper="Carreira & Zisserman, Quo Vadis, Action Recognition?, CVPR",
    year=2017,
    length=16,
    weights="the backbone's, inflated",
)


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    backbone: str = "resnet18",
    kernel: int = 3,
    dropout: float = 0.5,
) -> nn.Module:
    """A 2-D network inflated; `kernel` frames are seen by each convolution."""
    check_share(dropout=dropout)
    if kernel < 1:
        raise ValueError(f"kernel={kernel} must be 1 or more frames")
    made = backbones.create(backbone, channels=channels, classes=classes, dropout=dropout)
    extend_in_time(made, kernel=kernel, strided=False, repeat_ends=True)
    return Extended(made)
