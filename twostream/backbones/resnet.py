"""ResNet: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.

Names and shapes of the parameters are torchvision's, and the stride of a bottleneck stands on its 3×3
convolution as there.
"""

from typing import Literal

from torch import Tensor, nn

from twostream.nets.layers import init_convolutions
from twostream.nets.pretrained import Pretrained

_LAYERS = {"18": (2, 2, 2, 2), "34": (3, 4, 6, 3), "50": (3, 4, 6, 3)}
_PUBLISHED = {
    "18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "50": "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
}


class ResNet(nn.Module):
    """(B, C, H, W) → logits (B, K), or features (B, 512 or 2048)."""

    def __init__(self, variant: str, channels: int, classes: int | None, dropout: float) -> None:
        super().__init__()
        block = _Bottleneck if variant == "50" else _Basic
        self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        blocks, e = _LAYERS[variant], block.expansion
        self.layer1 = _layer(block, blocks[0], 64, 64, stride=1)
        self.layer2 = _layer(block, blocks[1], 64 * e, 128, stride=2)
        self.layer3 = _layer(block, blocks[2], 128 * e, 256, stride=2)
        self.layer4 = _layer(block, blocks[3], 256 * e, 512, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.width = 512 * e
        self.map_widths = (64 * e, 128 * e, 256 * e, 512 * e)
        self.dropout = nn.Dropout(dropout if classes else 0)
        self.fc = nn.Linear(self.width, classes) if classes else nn.Identity()
        self.pretrained = Pretrained(
            first_layer="conv1",
            head="fc",
            unused=() if classes else ("fc",),
            published=_PUBLISHED[variant],
        )
        init_convolutions(self)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps at 1/4, 1/8, 1/16 and 1/32 of the side."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        found = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)."""
        x = self.avgpool(self.maps(x)[-1]).flatten(1)
        out: Tensor = self.fc(self.dropout(x))
        return out


class _Basic(nn.Module):
    """Two 3×3 convolutions and a shortcut (figure 5, left)."""

    expansion = 1

    def __init__(self, width: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(width, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


class _Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 and a shortcut (figure 5, right)."""

    expansion = 4

    def __init__(self, width: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(width, 4 * planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


def _layer(
    block: type[_Basic | _Bottleneck], blocks: int, width: int, planes: int, stride: int
) -> nn.Sequential:
    """Blocks of one resolution; the first changes it and the width."""
    first = block(width, planes, stride)
    rest = (block(planes * block.expansion, planes, 1) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


def _shortcut(width: int, out: int, stride: int) -> nn.Module | None:
    """A projection where the shape changes (option B), nothing where it does not."""
    if stride == 1 and width == out:
        return None
    return nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))


def create(
    *,
    channels: int,
    classes: int | None,
    dropout: float = 0.5,
    variant: Literal["18", "34", "50"] = "18",
) -> ResNet:
    """A ResNet for pictures of `channels` channels."""
    return ResNet(variant, channels, classes, dropout)
