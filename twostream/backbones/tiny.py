"""A small convolutional network that learns in a minute on a CPU; it follows no paper."""

from torch import Tensor, nn

from twostream.nets.pretrained import Pretrained


class Tiny(nn.Module):
    """Four 3×3 convolutions, each followed by normalisation, ReLU and 2×2 pooling, then an average.

    (B, C, H, W) → logits (B, K), or features (B, 4 × width).
    """

    def __init__(self, channels: int, classes: int | None, width: int, dropout: float) -> None:
        super().__init__()
        self.map_widths = (width, 2 * width, 4 * width, 4 * width)
        self.width = self.map_widths[-1]
        layers: list[nn.Module] = []
        for planes in self.map_widths:
            layers += [
                nn.Conv2d(channels, planes, 3, padding=1, bias=False),
                nn.BatchNorm2d(planes),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
            channels = planes
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout if classes else 0)
        self.fc = nn.Linear(channels, classes) if classes else nn.Identity()
        self.pretrained = Pretrained(
            first_layer="features.0",
            head="fc",
            unused=() if classes else ("fc",),
        )

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps at 1/2, 1/4, 1/8 and 1/16 of the side."""
        found = []
        for start in range(0, len(self.features), 4):
            x = self.features[start : start + 4](x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)."""
        x = self.avgpool(self.features(x)).flatten(1)
        out: Tensor = self.fc(self.dropout(x))
        return out


def create(*, channels: int, classes: int | None, dropout: float = 0.2, width: int = 16) -> Tiny:
    """A small network for pictures of `channels` channels."""
    if width < 1:
        raise ValueError(f"width={width} must be 1 or more")
    return Tiny(channels, classes, width, dropout)
