"""A small convolutional network that learns in a minute on a CPU; it follows no paper."""

from torch import Tensor, nn


class Tiny(nn.Module):
    """Four 3×3 convolutions, each followed by normalisation, ReLU and 2×2 pooling, then an average.

    (B, T, C, H, W) → logits (B, K); the frames of a clip are stacked as channels.
    """

    first_layer = "features.0"
    head = "fc"

    def __init__(self, channels: int, classes: int, width: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for planes in (width, 2 * width, 4 * width, 4 * width):
            layers += [
                nn.Conv2d(channels, planes, 3, padding=1, bias=False),
                nn.BatchNorm2d(planes),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
            channels = planes
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        x = self.features(clip.flatten(1, 2)).mean((2, 3))
        logits: Tensor = self.fc(self.dropout(x))
        return logits


def create(
    *, channels: int, length: int, classes: int, width: int = 16, dropout: float = 0.2
) -> Tiny:
    """A small network for clips of `length` frames of `channels` channels."""
    if width < 1 or not 0 <= dropout < 1:
        raise ValueError(f"width={width} dropout={dropout}: 1 or more, and 0 or more but under 1")
    return Tiny(channels * length, classes, width, dropout)
