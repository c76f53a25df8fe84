"""VGG: Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014.

Configuration D (VGG-16) and its smaller sister A (VGG-11). Names and shapes are torchvision's.
"""

from typing import Literal

from torch import Tensor, nn

from twostream.nets.layers import fully_connected, init_convolutions, require_side
from twostream.nets.pretrained import Pretrained

_WIDTHS = (64, 128, 256, 512, 512)
# How many convolutions stand before each pooling (table 1).
_CONVOLUTIONS = {"11": (1, 1, 2, 2, 2), "16": (2, 2, 3, 3, 3)}
_PUBLISHED = {
    "11": "https://download.pytorch.org/models/vgg11-8a719046.pth",
    "16": "https://download.pytorch.org/models/vgg16-397923af.pth",
}


class VGG(nn.Module):
    """(B, C, H, W) → logits (B, K), or features (B, 4096)."""

    width = 4096
    map_widths = _WIDTHS

    def __init__(self, variant: str, channels: int, classes: int | None, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._pools = []
        for width, convolutions in zip(_WIDTHS, _CONVOLUTIONS[variant], strict=True):
            for _ in range(convolutions):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            self._pools.append(len(layers))
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = fully_connected(512 * 7 * 7, (4096, 4096), classes, dropout)
        self.pretrained = Pretrained(
            first_layer="features.0",
            head="classifier.6",
            unused=() if classes else ("classifier",) if classes is None else ("classifier.6",),
            published=_PUBLISHED[variant],
        )
        init_convolutions(self)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps at 1, 1/2, … 1/16 of the side, before their pooling."""
        require_side(x, 32, "vgg")
        found, start = [], 0
        for pool in self._pools:
            x = self.features[start:pool](x)
            found.append(x)
            start = pool
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)."""
        x = self.avgpool(self.features[-1](self.maps(x)[-1]))
        out: Tensor = self.classifier(x.flatten(1))
        return out


def create(
    *,
    channels: int,
    classes: int | None,
    dropout: float = 0.5,
    variant: Literal["11", "16"] = "16",
) -> VGG:
    """A VGG for pictures of `channels` channels."""
    return VGG(variant, channels, classes, dropout)
