"""LRCN: Donahue et al., "Long-term Recurrent Convolutional Networks", CVPR 2015, section 4.

A 2-D network describes every frame, an LSTM reads the descriptions in order and predicts at each step;
the predictions are averaged.
"""

from torch import Tensor, nn

from twostream import backbones
from twostream.nets.layers import OverBackbone, check_share
from twostream.nets.model_card import Card

CARD = Card(
    paper="Donahue et al., Long-term Recurrent Convolutional Networks, CVPR",
    year=2015,
    length=16,
    weights="the backbone's",
)


class CNNLSTM(OverBackbone):
    """(B, T, C, H, W) → logits (B, K), for any T."""

    def __init__(
        self, backbone: nn.Module, hidden: int, layers: int, classes: int, dropout: float
    ) -> None:
        super().__init__(backbone, head="fc", fresh=("lstm", "fc"))
        self.lstm = nn.LSTM(self.backbone.width, hidden, layers, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden, classes)

    def steps(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, T, K); those at t depend on the frames up to t alone."""
        features = self.backbone(clip.flatten(0, 1)).reshape(*clip.shape[:2], -1)
        logits: Tensor = self.fc(self.dropout(self.lstm(features)[0]))
        return logits

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K), the mean over the steps."""
        return self.steps(clip).mean(1)


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    backbone: str = "resnet18",
    hidden: int = 256,
    layers: int = 1,
    dropout: float = 0.5,
) -> CNNLSTM:
    """A 2-D network for frames of `channels` channels under an LSTM of `layers` times `hidden` units."""
    check_share(dropout=dropout)
    if min(hidden, layers) < 1:
        raise ValueError(f"hidden={hidden} layers={layers} must be 1 or more")
    frames = backbones.create(backbone, channels=channels, classes=0, dropout=dropout)
    return CNNLSTM(frames, hidden, layers, classes, dropout)
