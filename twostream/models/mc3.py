"""MC3: Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018.

Section 3.4, mixed convolutions: a ResNet-18 that sees motion only at the start. The stem and the first
group are 3-D; the later groups look at each frame by itself and keep the length of time. Names and shapes
of the parameters are torchvision's.
"""

from functools import partial

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
    """MC3-18; dropout, before the last layer, is not the paper's."""
    check_share(dropout=dropout)
    frame_by_frame = partial(plain_block, frames=1)
    return VideoResNet(
        plain_stem(channels),
        (plain_block, frame_by_frame, frame_by_frame, frame_by_frame),
        classes,
        dropout,
        published="https://download.pytorch.org/models/mc3_18-a90a0ba3.pth",
    )
