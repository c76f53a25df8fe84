"""Non-local networks: Wang, Girshick, Gupta, He, "Non-local Neural Networks", CVPR 2018.

A block in which every place and time of a map looks at every other (section 3), put into a ResNet
inflated in time (section 4, "I3D"). The backbone is the one for clips of 8 frames that public models
share: it keeps all frames through the first group and then halves them once. Names of the parameters are
those of torchvision's 2-D ResNets, whose weights are inflated; no weights are published for the non-local
blocks, which start as the identity.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from twostream.nets.attention import attend
from twostream.nets.layers import check_share, conv3d, init_convolutions, shortcut3d
from twostream.nets.model_card import Card
from twostream.nets.pretrained import Pretrained

CARD = Card(
    paper="Wang et al., Non-local Neural Networks, CVPR",
    year=2018,
    length=8,
    stride=8,
    weights="torchvision's ResNet, inflated",
)
_BLOCKS = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3)}
_PUBLISHED = {
    "50": "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
    "101": "https://download.pytorch.org/models/resnet101-cd907fc2.pth",
}
_GROUPS = ("res2", "res3", "res4", "res5")


class NonLocal(nn.Module):
    """z = x + BN(W y), y = softmax(θ(x)ᵀ φ(x̂) / √(C/2)) g(x̂): embedded Gaussian (equations 1, 3 and 6).

    x̂ is the largest of each 2×2 places of a frame, of which there are a quarter as many (section 3.3,
    "subsampling trick"). As in the authors' code, θ, φ, g and W have offsets, x is subsampled before φ
    and g and not after them, and the products are divided by the root of the channels. At its start the
    block is the identity (section 4.1).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta = nn.Conv3d(width, width // 2, 1)
        self.phi = nn.Conv3d(width, width // 2, 1)
        self.g = nn.Conv3d(width, width // 2, 1)
        # Unlike the authors', an odd side keeps its edge, and so one place stays one place.
        self.pool = nn.MaxPool3d((1, 2, 2), ceil_mode=True)
        self.out = nn.Conv3d(width // 2, width, 1)
        self.bn = nn.BatchNorm3d(width)
        self.start_as_identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → the same shape."""
        subsampled = self.pool(x)
        asked, answers, values = (
            # Channels last, and one head: (B, 1, places and times, C/2).
            embedded.flatten(2).transpose(1, 2)[:, None]
            for embedded in (self.theta(x), self.phi(subsampled), self.g(subsampled))
        )
        y = torch.unflatten(attend(asked, answers, values).transpose(1, 2), 2, x.shape[2:])
        z: Tensor = x + self.bn(self.out(y))
        return z

    def start_as_identity(self) -> None:
        """A scale of 0 behind small embeddings, with which the softmax starts flat (section 4.1)."""
        for conv in (self.theta, self.phi, self.g, self.out):
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        nn.init.zeros_(self.bn.weight)


class Bottleneck3d(nn.Module):
    """`frames`×1×1, 1×3×3, 1×1×1 and a shortcut (table 1 and section 4, "Inflated 3D ConvNet")."""

    def __init__(self, width: int, planes: int, stride: int, frames: int) -> None:
        super().__init__()
        self.conv1 = conv3d(width, planes, (frames, 1, 1))
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = conv3d(planes, planes, (1, 3, 3), (1, stride, stride))
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = conv3d(planes, 4 * planes, (1, 1, 1))
        self.bn3 = nn.BatchNorm3d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut3d(width, 4 * planes, (1, stride, stride))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, 4 × planes, T, H', W')."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


def _group(
    blocks: int, width: int, planes: int, stride: int, frames: Sequence[int], non_local: bool
) -> nn.Sequential:
    """Residual blocks of one resolution, and a non-local block behind every other of them.

    frames: what the first convolution of a block sees, from block to block, again and again.
    """
    group = nn.Sequential()
    for number in range(blocks):
        seen = frames[number % len(frames)]
        group.add_module(str(number), Bottleneck3d(width, planes, stride, seen))
        width, stride = 4 * planes, 1
        if non_local and number % 2 == 1:
            group.add_module(f"non_local{number}", NonLocal(width))
    return group


class NonLocalResNet(nn.Module):
    """(B, T, C, H, W) → logits (B, K), for any T, H and W."""

    def __init__(
        self, depth: str, at: frozenset[str], channels: int, classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.pretrained = Pretrained(
            first_layer="conv1",
            head="fc",
            fresh=tuple(f"layer{number}.non_local" for number in (1, 2, 3, 4)),
            published=_PUBLISHED[depth],
        )
        blocks = _BLOCKS[depth]
        self.conv1 = conv3d(channels, 64, (5, 7, 7), (1, 2, 2))
        self.bn1 = nn.BatchNorm3d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.layer1 = _group(blocks[0], 64, 64, 1, (3,), "res2" in at)
        self.pool_time = nn.MaxPool3d((2, 1, 1), ceil_mode=True)  # one frame stays one frame
        self.layer2 = _group(blocks[1], 256, 128, 2, (3, 1), "res3" in at)
        self.layer3 = _group(blocks[2], 512, 256, 2, (3, 1), "res4" in at)
        self.layer4 = _group(blocks[3], 1024, 512, 2, (1, 3), "res5" in at)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, classes)
        init_convolutions(self)
        for module in self.modules():
            if isinstance(module, NonLocal):
                module.start_as_identity()

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(clip.transpose(1, 2)))))
        x = self.layer2(self.pool_time(self.layer1(x)))
        x = self.layer4(self.layer3(x))
        logits: Tensor = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return logits


def _places(at: str) -> frozenset[str]:
    """Groups named in `res3,res4`, or none; ValueError for any other name."""
    named = frozenset(() if at == "none" else at.split(","))
    if not named <= frozenset(_GROUPS):
        raise ValueError(
            f"at={at} must be none, or some of {','.join(_GROUPS)} with commas between"
        )
    return named


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    at: str = "res3,res4",
    depth: Literal["50", "101"] = "50",
    dropout: float = 0.5,
) -> NonLocalResNet:
    """A ResNet inflated in time with non-local blocks `at` groups behind every other residual block.

    The default is the paper's model with 5 blocks.
    """
    check_share(dropout=dropout)
    return NonLocalResNet(depth, _places(at), channels, classes, dropout)
