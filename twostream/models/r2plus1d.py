"""R(2+1)D: Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018.

Section 3.5: R3D with every 3×3×3 convolution split into one in space and one in time, and a ReLU between
them. Names and shapes of the parameters are torchvision's.
"""

from torch import nn

from twostream.nets.layers import BasicBlock3d, VideoResNet, check_share, conv3d, shortcut3d
from twostream.nets.model_card import Card

CARD = Card(
    paper="Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR",
    year=2018,
    length=16,
    size=112,
    weights="torchvision's",
)


def _split(width: int, middle: int, out: int, stride: int) -> nn.Sequential:
    """A 1×3×3 convolution to `middle` channels, then a 3×1×1 convolution."""
    return nn.Sequential(
        conv3d(width, middle, (1, 3, 3), (1, stride, stride)),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        conv3d(middle, out, (3, 1, 1), (stride, 1, 1)),
    )


def _block(width: int, out: int, stride: int) -> BasicBlock3d:
    """A residual block of two split convolutions.

    `middle` gives the first as many parameters as a 3×3×3 convolution has (section 3.5, t = d = 3).
    The second has the same, as in the published weights.
    """
    middle = (3 * 3 * 3 * width * out) // (3 * 3 * width + 3 * out)
    return BasicBlock3d(
        _split(width, middle, out, stride),
        _split(out, middle, out, 1),
        shortcut3d(width, out, (stride, stride, stride)),
        out,
    )


def _stem(channels: int) -> nn.Sequential:
    """The first convolution, split as well; it does not shrink time."""
    return nn.Sequential(
        conv3d(channels, 45, (1, 7, 7), (1, 2, 2)),
        nn.BatchNorm3d(45),
        nn.ReLU(inplace=True),
        conv3d(45, 64, (3, 1, 1)),
        nn.BatchNorm3d(64),
        nn.ReLU(inplace=True),
    )


def create(*, channels: int, length: int, classes: int, dropout: float = 0.0) -> VideoResNet:
    """R(2+1)D-18; dropout, before the last layer, is not the paper's."""
    check_share(dropout=dropout)
    return VideoResNet(
        _stem(channels),
        (_block,) * 4,
        classes,
        dropout,
        published="https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth",
    )
