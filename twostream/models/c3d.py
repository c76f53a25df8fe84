"""C3D: Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks", ICCV 2015.

Section 3.3: eight 3×3×3 convolutions, five poolings, three fully connected layers. Names and shapes of
the parameters are those of the public conversions of the authors' Sports-1M weights to PyTorch
(DavideA/c3d-pytorch). Those were trained with gray levels of 0 to 255 less the set's mean clip, the
authors' `sport1m_train16_128_mean.binaryproto`; over time and place its mean is 101.41 of red, 97.66 of
green and 90.25 of blue, which ports round to 102, 98 and 90. They also expect blue first: before such a
file is given, its `conv1.weight` has to be reversed along its input channels,
`state["conv1.weight"].flip(1)`.

The paper's clips are 16×112×112. Here the poolings keep what is left over at the end of an odd length, so
one frame is enough, and a pooling before the first fully connected layer brings any other size to the
paper's 1×4×4.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from twostream.nets.layers import check_share
from twostream.nets.model_card import Card
from twostream.nets.pretrained import Pretrained

CARD = Card(
    paper="Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, ICCV",
    year=2015,
    length=16,
    size=112,
    weights="Sports-1M's, converted to PyTorch",
)


class C3D(nn.Module):
    """(B, T, C, H, W) → logits (B, K), for any T, H and W."""

    pretrained = Pretrained(
        first_layer="conv1",
        head="fc8",
        mean=(101.41 / 255, 97.66 / 255, 90.25 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
    )

    def __init__(self, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, 64, 3, padding=1)
        self.pool1 = _pool(1)
        self.conv2 = nn.Conv3d(64, 128, 3, padding=1)
        self.pool2 = _pool(2)
        self.conv3a = nn.Conv3d(128, 256, 3, padding=1)
        self.conv3b = nn.Conv3d(256, 256, 3, padding=1)
        self.pool3 = _pool(2)
        self.conv4a = nn.Conv3d(256, 512, 3, padding=1)
        self.conv4b = nn.Conv3d(512, 512, 3, padding=1)
        self.pool4 = _pool(2)
        self.conv5a = nn.Conv3d(512, 512, 3, padding=1)
        self.conv5b = nn.Conv3d(512, 512, 3, padding=1)
        self.pool5 = _pool(2)
        self.to_paper_size = nn.AdaptiveAvgPool3d((1, 4, 4))
        self.fc6 = nn.Linear(512 * 1 * 4 * 4, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, classes)
        self.dropout = nn.Dropout(dropout)
        # Nothing normalises the maps, and with PyTorch's defaults they would fade on their way.
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if channels == 3:
            # RGB comes in gray levels, which are about 58 wide, and kernels are drawn for a width of 1.
            with torch.no_grad():
                self.conv1.weight /= 58

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        relu = functional.relu
        x = self.pool1(relu(self.conv1(clip.transpose(1, 2))))
        x = self.pool2(relu(self.conv2(x)))
        x = self.pool3(relu(self.conv3b(relu(self.conv3a(x)))))
        x = self.pool4(relu(self.conv4b(relu(self.conv4a(x)))))
        # Padding that the pooling itself adds is counted by PyTorch otherwise than by other libraries.
        x = functional.pad(relu(self.conv5b(relu(self.conv5a(x)))), (1, 0, 1, 0))
        x = self.pool5(x)
        x = torch.flatten(self.to_paper_size(x), 1)
        x = self.dropout(relu(self.fc6(x)))
        x = self.dropout(relu(self.fc7(x)))
        logits: Tensor = self.fc8(x)
        return logits


def _pool(frames: int) -> nn.MaxPool3d:
    """The largest of `frames` × 2 × 2, side by side; an incomplete last one counts."""
    return nn.MaxPool3d((frames, 2, 2), (frames, 2, 2), ceil_mode=True)


def create(*, channels: int, length: int, classes: int, dropout: float = 0.5) -> C3D:
    """C3D; dropout stands behind each of the first two fully connected layers."""
    check_share(dropout=dropout)
    return C3D(channels, classes, dropout)
