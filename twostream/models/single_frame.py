"""Single frame: Karpathy et al., "Large-scale Video Classification with CNNs", CVPR 2014, section 3.1.

A 2-D network looks at every frame by itself, and the scores are averaged. With 25 frames and a
ResNet-50 it is the network of Wang et al. 2016 ("Temporal Segment Networks") at test time.
"""

from torch import Tensor, nn

from twostream import backbones
from twostream.nets.layers import OverBackbone, check_share
from twostream.nets.model_card import Card

CARD = Card(
    paper="Karpathy et al., Large-scale Video Classification with CNNs, CVPR",
    year=2014,
    weights="the backbone's",
)


class SingleFrame(OverBackbone):
    """(B, T, C, H, W) → logits (B, K), the mean over the frames."""

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        logits: Tensor = self.backbone(clip.flatten(0, 1))
        return logits.reshape(*clip.shape[:2], -1).mean(1)


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    backbone: str = "resnet18",
    dropout: float = 0.5,
) -> nn.Module:
    """A 2-D network for frames of `channels` channels."""
    check_share(dropout=dropout)
    return SingleFrame(
        backbones.create(backbone, channels=channels, classes=classes, dropout=dropout)
    )
