"""Slow fusion: Karpathy et al., "Large-scale Video Classification with CNNs", CVPR 2014, section 3.1.

Every convolution of a 2-D network sees a few frames, and what shrinks the picture shrinks time as well,
so that the view grows in time as slowly as in space.
"""

from torch import nn

from twostream import backbones
from twostream.nets.layers import Extended, check_share, extend_in_time
from twostream.nets.model_card import Card

CARD = Card(
    paper="Karpathy et al., Large-scale Video Classification with CNNs, CVPR",
    year=2014,
    length=10,
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
    """A 2-D network extended in time; `kernel` frames are seen by each convolution, an odd number."""
    check_share(dropout=dropout)
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel={kernel} must be an odd number of frames")
    made = backbones.create(backbone, channels=channels, classes=classes, dropout=dropout)
    extend_in_time(made, kernel=kernel, strided=True, repeat_ends=False)
    return Extended(made)
