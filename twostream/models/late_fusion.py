"""Late fusion: Karpathy et al., "Large-scale Video Classification with CNNs", CVPR 2014, section 3.1.

The same 2-D network describes every frame, and only the last layers see more than one.
"""

from typing import Literal

from torch import Tensor, nn

from twostream import backbones
from twostream.nets.layers import OverBackbone, check_share, fully_connected
from twostream.nets.model_card import Card

CARD = Card(
    paper="Karpathy et al., Large-scale Video Classification with CNNs, CVPR",
    year=2014,
    length=10,
    weights="the backbone's",
)


class Concatenated(OverBackbone):
    """Fully connected layers over the features of all frames, which tell their order.

    (B, T, C, H, W) → logits (B, K), for one T.
    """

    def __init__(
        self, backbone: nn.Module, length: int, hidden: int, classes: int, dropout: float
    ) -> None:
        super().__init__(backbone, head="fusion.3", fresh=("fusion",))
        self.fusion = fully_connected(length * self.backbone.width, (hidden,), classes, dropout)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        each = self.backbone(clip.flatten(0, 1))
        logits: Tensor = self.fusion(each.reshape(clip.shape[0], -1))
        return logits


class Pooled(OverBackbone):
    """One linear layer over the mean of the frames' features, which knows no order.

    (B, T, C, H, W) → logits (B, K), for any T.
    """

    def __init__(self, backbone: nn.Module, classes: int, dropout: float) -> None:
        super().__init__(backbone, head="fc", fresh=("fc",))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.backbone.width, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        each = self.backbone(clip.flatten(0, 1)).reshape(*clip.shape[:2], -1)
        logits: Tensor = self.fc(self.dropout(each.mean(1)))
        return logits


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    backbone: str = "resnet18",
    head: Literal["fc", "pool"] = "fc",
    hidden: int = 512,
    dropout: float = 0.5,
) -> nn.Module:
    """A 2-D network for frames of `channels` channels, joined by `head`.

    hidden: width of the layer between the frames and the classes, for head=fc.
    """
    check_share(dropout=dropout)
    if hidden < 1:
        raise ValueError(f"hidden={hidden} must be 1 or more")
    frames = backbones.create(backbone, channels=channels, classes=0, dropout=dropout)
    if head == "pool":
        return Pooled(frames, classes, dropout)
    return Concatenated(frames, length, hidden, classes, dropout)
