"""I3D: Carreira & Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset".

CVPR 2017, figure 3: Inception-v1 with batch normalisation, its kernels and poolings inflated to cubes.
Names and shapes of the parameters are those of the public conversions of the authors' Kinetics weights to
PyTorch, which were trained with frames and flow brought to −1 … 1 (the authors' `kinetics-i3d`, README).

The paper's clips are 64×224×224, of which 8×7×7 is left before the last pooling. The paper pools 2×7×7 of
that and averages the logits over the remaining time. Here the pooling is as large as the picture that is
left, and as long as 2 frames where there are 2: the same at the paper's size, and any other runs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from twostream.nets.layers import Triple, check_share, pad_same
from twostream.nets.model_card import Card
from twostream.nets.pretrained import Pretrained

CARD = Card(
    paper="Carreira & Zisserman, Quo Vadis, Action Recognition?, CVPR",
    year=2017,
    length=64,
    weights="Kinetics', converted to PyTorch",
)


class Unit3d(nn.Module):
    """Convolution, batch normalisation, ReLU: (B, I, T, H, W) → (B, O, ⌈T / s⌉, ⌈H / s⌉, ⌈W / s⌉)."""

    def __init__(self, width: int, out: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(width, out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out, eps=1e-3)
        self.kernel: Triple = (kernel, kernel, kernel)
        self.stride: Triple = (stride, stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, T, H, W) → (B, O, T', H', W')."""
        y = self.conv3d(pad_same(x, self.kernel, self.stride))
        return functional.relu(self.bn(y))


class SamePool3d(nn.Module):
    """The largest of each window, of maps that are nowhere negative: zeros around them do no harm."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, C, T', H', W')."""
        return functional.max_pool3d(
            pad_same(x, self.kernel, self.stride), self.kernel, self.stride
        )


class Mixed(nn.Module):
    """Four branches side by side (figure 3, right): 1³; 1³ and 3³; 1³ and 3³; a 3³ pooling and 1³.

    widths: of b0, b1a, b1b, b2a, b2b, b3b, as the published names have them.
    """

    def __init__(self, width: int, widths: Sequence[int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = Unit3d(width, b0)
        self.b1a = Unit3d(width, b1a)
        self.b1b = Unit3d(b1a, b1b, 3)
        self.b2a = Unit3d(width, b2a)
        self.b2b = Unit3d(b2a, b2b, 3)
        self.b3a = SamePool3d((3, 3, 3), (1, 1, 1))
        self.b3b = Unit3d(width, b3b)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, b0 + b1b + b2b + b3b, T, H, W)."""
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))]
        return torch.cat(branches, dim=1)


class AveragePool3d(nn.Module):
    """The mean over the picture and over each 2 frames side by side, or the only one."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, C, T − 1 or 1, 1, 1)."""
        frames = x.mean((3, 4), keepdim=True)
        return (frames[:, :, :-1] + frames[:, :, 1:]) / 2 if x.shape[2] > 1 else frames


class Logits(nn.Module):
    """The last layer, a 1×1×1 convolution, under its published name."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(1024, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1024, T, 1, 1) → (B, K), the mean over time."""
        logits: Tensor = self.conv3d(x)
        return logits.mean((2, 3, 4))


class I3D(nn.Module):
    """(B, T, C, H, W) → logits (B, K), for any T, H and W."""

    pretrained = Pretrained(
        first_layer="Conv3d_1a_7x7.conv3d",
        head="logits.conv3d",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )

    def __init__(self, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit3d(channels, 64, 7, stride=2)
        self.MaxPool3d_2a_3x3 = SamePool3d((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit3d(64, 64)
        self.Conv3d_2c_3x3 = Unit3d(64, 192, 3)
        self.MaxPool3d_3a_3x3 = SamePool3d((1, 3, 3), (1, 2, 2))
        self.Mixed_3b = Mixed(192, (64, 96, 128, 16, 32, 32))
        self.Mixed_3c = Mixed(256, (128, 128, 192, 32, 96, 64))
        self.MaxPool3d_4a_3x3 = SamePool3d((3, 3, 3), (2, 2, 2))
        self.Mixed_4b = Mixed(480, (192, 96, 208, 16, 48, 64))
        self.Mixed_4c = Mixed(512, (160, 112, 224, 24, 64, 64))
        self.Mixed_4d = Mixed(512, (128, 128, 256, 24, 64, 64))
        self.Mixed_4e = Mixed(512, (112, 144, 288, 32, 64, 64))
        self.Mixed_4f = Mixed(528, (256, 160, 320, 32, 128, 128))
        self.MaxPool3d_5a_2x2 = SamePool3d((2, 2, 2), (2, 2, 2))
        self.Mixed_5b = Mixed(832, (256, 160, 320, 32, 128, 128))
        self.Mixed_5c = Mixed(832, (384, 192, 384, 48, 128, 128))
        self.avg_pool = AveragePool3d()
        self.dropout = nn.Dropout(dropout)
        self.logits = Logits(classes)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        x = self.MaxPool3d_2a_3x3(self.Conv3d_1a_7x7(clip.transpose(1, 2)))
        x = self.MaxPool3d_3a_3x3(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)))
        x = self.MaxPool3d_4a_3x3(self.Mixed_3c(self.Mixed_3b(x)))
        x = self.Mixed_4f(self.Mixed_4e(self.Mixed_4d(self.Mixed_4c(self.Mixed_4b(x)))))
        x = self.Mixed_5c(self.Mixed_5b(self.MaxPool3d_5a_2x2(x)))
        logits: Tensor = self.logits(self.dropout(self.avg_pool(x)))
        return logits


def create(*, channels: int, length: int, classes: int, dropout: float = 0.5) -> I3D:
    """I3D with Inception-v1; dropout stands before the last layer."""
    check_share(dropout=dropout)
    return I3D(channels, classes, dropout)
