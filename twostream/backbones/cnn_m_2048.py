"""CNN-M-2048: Chatfield, Simonyan, Vedaldi, Zisserman, "Return of the Devil in the Details", BMVC 2014.

The network of both streams of Simonyan & Zisserman 2014 (their figure 1), without local response
normalisation, which later networks showed to be of no use. Poolings round up, as Caffe's do.
"""

from torch import Tensor, nn

from twostream.nets.layers import fully_connected, init_convolutions, require_side
from twostream.nets.pretrained import Pretrained


class CNNM2048(nn.Module):
    """(B, C, H, W) → logits (B, K), or features (B, 2048)."""

    width = 2048
    map_widths = (96, 256, 512)

    def __init__(self, channels: int, classes: int | None, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 96, 7, stride=2)
        self.conv2 = nn.Conv2d(96, 256, 5, stride=2, padding=1)
        self.conv3 = nn.Conv2d(256, 512, 3, padding=1)
        self.conv4 = nn.Conv2d(512, 512, 3, padding=1)
        self.conv5 = nn.Conv2d(512, 512, 3, padding=1)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.relu = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))  # the identity at 224 × 224
        self.classifier = fully_connected(512 * 6 * 6, (4096, 2048), classes, dropout)
        self.pretrained = Pretrained(
            first_layer="conv1",
            head="classifier.6",
            unused=() if classes else ("classifier",) if classes is None else ("classifier.6",),
        )
        init_convolutions(self)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps after conv1, conv2 and conv5."""
        require_side(x, 41, "cnn_m_2048")
        fine = self.relu(self.conv1(x))
        middle = self.relu(self.conv2(self.pool(fine)))
        coarse = self.relu(self.conv3(self.pool(middle)))
        return [fine, middle, self.relu(self.conv5(self.relu(self.conv4(coarse))))]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)."""
        x = self.avgpool(self.pool(self.maps(x)[-1]))
        out: Tensor = self.classifier(x.flatten(1))
        return out


def create(*, channels: int, classes: int | None, dropout: float = 0.5) -> CNNM2048:
    """CNN-M-2048 for pictures of `channels` channels."""
    return CNNM2048(channels, classes, dropout)
