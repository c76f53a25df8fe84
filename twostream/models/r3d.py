"""R3D: Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018.

Section 3.3: a ResNet-18 whose kernels are 3×3×3 and whose strides shrink time as well. Names and shapes
of the parameters are torchvision's.
"""

from twostream.nets.layers import VideoResNet, check_share, plain_block, plain_stem
from twostream.nets.model_card import Card

CARD = Card(
    paper="Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR",
    year=2018,
    length=16,
    size=112,
    weights="torchvision's",
)


def create(*, channels: int, length: int, classes: int, dropout: float = 0.0) -> VideoResNet:
    """R3D-18; dropout, before the last layer, is not the paper's."""
    check_share(dropout=dropout)
    return VideoResNet(
        plain_stem(channels),
        (plain_block,) * 4,
        classes,
        dropout,
        published="https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
    )
