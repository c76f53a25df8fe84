"""AlexNet: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.

The one-tower form of Krizhevsky, Sutskever & Hinton 2012, without response normalisation. Names and
shapes of the parameters are torchvision's.
"""

from torch import Tensor, nn

from twostream.nets.layers import fully_connected, require_side
from twostream.nets.pretrained import Pretrained

_SMALLEST = 63  # below, nothing is left for the last pooling


class AlexNet(nn.Module):
    """(B, C, H, W) → logits (B, K), or features (B, 4096)."""

    width = 4096
    map_widths = (64, 192, 256)

    def __init__(self, channels: int, classes: int | None, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = fully_connected(
            256 * 6 * 6, (4096, 4096), classes, dropout, dropout_first=True
        )
        self.pretrained = Pretrained(
            first_layer="features.0",
            head="classifier.6",
            unused=() if classes else ("classifier",) if classes is None else ("classifier.6",),
            published="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        )

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps at 1/4, 1/8 and 1/16 of the side, before their pooling."""
        require_side(x, _SMALLEST, "alexnet")
        fine = self.features[:2](x)
        middle = self.features[2:5](fine)
        return [fine, middle, self.features[5:12](middle)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)."""
        x = self.avgpool(self.features[12](self.maps(x)[-1]))
        out: Tensor = self.classifier(x.flatten(1))
        return out


def create(*, channels: int, classes: int | None, dropout: float = 0.5) -> AlexNet:
    """AlexNet for pictures of `channels` channels."""
    return AlexNet(channels, classes, dropout)
