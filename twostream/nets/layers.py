"""Blocks that two or more models share."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from flowcache.errors import UserError
from twostream.nets.pretrained import Pretrained

# Clips and pictures


class ClipSizeError(UserError):
    """A clip that is too short or too small for the network; the message names the limit."""


def require_side(x: Tensor, least: int, name: str) -> None:
    """ClipSizeError unless height and width, the last two dimensions, are `least` or more."""
    height, width = x.shape[-2:]
    if min(height, width) < least:
        raise ClipSizeError(
            f"{name} needs pictures of {least}×{least} or more and these are {width}×{height}: "
            "give a larger crop",
            "crop",
        )


def require_frames(clip: Tensor, least: int, name: str) -> None:
    """ClipSizeError unless a clip (B, T, C, H, W) has `least` frames or more."""
    if clip.shape[1] < least:
        raise ClipSizeError(
            f"{name} needs clips of {least} frames or more and these have {clip.shape[1]}: give a "
            "larger length",
            "length",
        )


def check_share(**values: float) -> None:
    """ValueError unless each value, such as dropout, is 0 or more and under 1."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must be 0 or more and under 1")


# Parts of convolutional networks


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Zeros around the last dimensions of x, so that a window leaves ⌈size / stride⌉ of each.

    There are as many of these dimensions as `kernel` and `stride` have numbers. TensorFlow's "SAME":
    where an odd number of zeros is wanted, the larger half stands at the end.
    """
    pads: list[int] = []
    for size, k, s in zip(x.shape[-len(kernel) :], kernel, stride, strict=True):
        wanted = max((-(-size // s) - 1) * s + k - size, 0)
        pads = [wanted // 2, wanted - wanted // 2, *pads]  # the last dimension comes first
    return functional.pad(x, pads) if any(pads) else x


def init_convolutions(network: nn.Module) -> None:
    """He et al. 2015: the spread of weights that keeps the gradients' size through ReLU; no offsets."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def fully_connected(
    width: int,
    hidden: Sequence[int],
    classes: int | None,
    dropout: float,
    *,
    dropout_first: bool = False,
) -> nn.Sequential:
    """Linear layers with ReLU and dropout between them, numbered as torchvision numbers them.

    With classes=0 the last layer is missing, with None there is none at all.
    """
    layers: list[nn.Module] = []
    for out in () if classes is None else hidden:
        linear, drop = nn.Linear(width, out), nn.Dropout(dropout)
        layers += (
            [drop, linear, nn.ReLU(inplace=True)]
            if dropout_first
            else [linear, nn.ReLU(inplace=True), drop]
        )
        width = out
    if classes:
        layers.append(nn.Linear(width, classes))
    return nn.Sequential(*layers)


class OverBackbone(nn.Module):
    """What is built over one of `twostream.backbones` and takes that network's published weights.

    head: the name of its own last layer, where the backbone's is none. fresh: beginnings of the names of
    what it adds to the backbone.
    """

    def __init__(self, backbone: Any, head: str = "", fresh: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.backbone = backbone
        self.pretrained: Pretrained = backbone.pretrained.under("backbone.", head=head, fresh=fresh)


class Stacked(OverBackbone):
    """A 2-D network whose first convolution sees all frames: (B, T, C, H, W) → logits (B, K).

    Channels come in the order x1 y1 x2 y2 … (Simonyan & Zisserman 2014, equation 1).

    channels: C, of one frame.
    """

    def __init__(self, backbone: Any, channels: int) -> None:
        super().__init__(backbone)
        self.pretrained = replace(self.pretrained, frame_channels=channels)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        logits: Tensor = self.backbone(clip.flatten(1, 2))
        return logits


# 2-D networks extended in time


class Extended(OverBackbone):
    """A 2-D network that `extend_in_time` has made 3-D: (B, T, C, H, W) → logits (B, K), for any T."""

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        logits: Tensor = self.backbone(clip.transpose(1, 2))
        return logits


class RepeatConv3d(nn.Conv3d):
    """A 3-D convolution for which a clip goes on before its first and after its last frame.

    So a still picture stays still, and an inflated network gives the 2-D network's output on it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, O, T', H', W')."""
        before = (self.kernel_size[0] - 1) // 2
        after = self.kernel_size[0] - 1 - before
        return super().forward(functional.pad(x, (0, 0, 0, 0, before, after), mode="replicate"))


def extend_in_time(network: nn.Module, *, kernel: int, strided: bool, repeat_ends: bool) -> None:
    """Turn a 2-D network into a 3-D one, in place: (B, C, H, W) → (B, C, T, H, W) where it stands.

    Kernels of 2 and more in space become `kernel` long in time, those of 1 stay 1. strided: what
    shrinks the picture halves time too; else time keeps its length. repeat_ends: pad in time with the
    end frames, else with zeros. Weights have the shapes of the new kernels and fresh values.
    UserError for a layer that has no 3-D counterpart.
    """
    for name, child in network.named_children():
        replaced = _extended(child, kernel, strided, repeat_ends)
        if replaced is not None:
            setattr(network, name, replaced)
        else:
            extend_in_time(child, kernel=kernel, strided=strided, repeat_ends=repeat_ends)


def _extended(layer: nn.Module, kernel: int, strided: bool, repeat_ends: bool) -> nn.Module | None:
    """The 3-D counterpart of one layer; None where it has none of its own."""

    def in_time(side: Any) -> int:
        return kernel if _pair(side)[0] > 1 else 1

    def stride_in_time(stride: Any) -> int:
        return 2 if strided and _pair(stride)[0] > 1 else 1

    if type(layer) is nn.Conv2d:
        k = in_time(layer.kernel_size)
        kind = RepeatConv3d if repeat_ends else nn.Conv3d
        made = kind(
            layer.in_channels,
            layer.out_channels,
            (k, *_pair(layer.kernel_size)),
            stride=(stride_in_time(layer.stride), *_pair(layer.stride)),
            padding=(0 if repeat_ends else k // 2, *_pair(layer.padding)),
            groups=layer.groups,
            bias=layer.bias is not None,
        )
        # The spread of the 2-D weights for as many more inputs.
        with torch.no_grad():
            made.weight.copy_(torch.randn_like(made.weight) * layer.weight.std() / k**0.5)
            if layer.bias is not None and made.bias is not None:
                made.bias.copy_(layer.bias)
        return made
    if type(layer) is nn.BatchNorm2d:
        return nn.BatchNorm3d(layer.num_features, layer.eps, layer.momentum)
    if type(layer) is nn.MaxPool2d:
        s = stride_in_time(layer.stride)
        # Either leaves ⌈T / 2⌉ frames, and one frame of one.
        k, p = (1, 0) if s == 1 else (2, 0) if layer.ceil_mode else (3, 1)
        return nn.MaxPool3d(
            (k, *_pair(layer.kernel_size)),
            stride=(s, *_pair(layer.stride)),
            padding=(p, *_pair(layer.padding)),
            ceil_mode=layer.ceil_mode,
        )
    if type(layer) is nn.AdaptiveAvgPool2d:
        return nn.AdaptiveAvgPool3d((1, *_pair(layer.output_size)))
    if not list(layer.children()) and "2d" in type(layer).__name__:
        raise UserError(
            f"a {type(layer).__name__} has no 3-D counterpart here: choose another backbone"
        )
    return None


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


# 3-D residual networks

Triple = tuple[int, int, int]
# (width, out, stride) → a residual block of that stride.
Block3d = Callable[[int, int, int], nn.Module]


def conv3d(width: int, out: int, kernel: Triple, stride: Triple = (1, 1, 1)) -> nn.Conv3d:
    """A convolution without bias of an odd kernel (T, H, W); only its stride changes the size."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(width, out, kernel, stride, padding, bias=False)


def shortcut3d(width: int, out: int, stride: Triple) -> nn.Module | None:
    """A projection where the shape changes, nothing where it does not (He et al. 2016, option B)."""
    if stride == (1, 1, 1) and width == out:
        return None
    return nn.Sequential(conv3d(width, out, (1, 1, 1), stride), nn.BatchNorm3d(out))


class BasicBlock3d(nn.Module):
    """Two convolutions and a shortcut: (B, C, T, H, W) → (B, O, T', H', W'), torchvision's names."""

    def __init__(
        self, first: nn.Module, second: nn.Module, shortcut: nn.Module | None, out: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(first, nn.BatchNorm3d(out), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(second, nn.BatchNorm3d(out))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, O, T', H', W')."""
        y = self.conv2(self.conv1(x))
        out: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


def plain_block(width: int, out: int, stride: int, *, frames: int = 3) -> BasicBlock3d:
    """A block whose kernels see `frames` × 3 × 3; with frames=1 time is not strided either."""
    kernel, steps = (frames, 3, 3), (stride if frames > 1 else 1, stride, stride)
    return BasicBlock3d(
        conv3d(width, out, kernel, steps),
        conv3d(out, out, kernel),
        shortcut3d(width, out, steps),
        out,
    )


class VideoResNet(nn.Module):
    """A ResNet-18 in time (Tran et al. 2018, table 1): (B, T, C, H, W) → logits (B, K), any size.

    stem: (B, C, T, H, W) → 64 channels at half the side; its part 0 is a convolution.
    blocks: what makes the two blocks of each of the four groups. Names are torchvision's, and so are the
    mean and the deviation of Kinetics-400 that its weights expect (`transforms` of `R3D_18_Weights`).
    """

    def __init__(
        self,
        stem: nn.Sequential,
        blocks: tuple[Block3d, Block3d, Block3d, Block3d],
        classes: int,
        dropout: float,
        *,
        published: str,
    ) -> None:
        super().__init__()
        self.pretrained = Pretrained(
            first_layer="stem.0",
            head="fc",
            published=published,
            mean=(0.43216, 0.394666, 0.37645),
            std=(0.22803, 0.22145, 0.216989),
        )
        self.stem = stem
        first, second, third, fourth = blocks
        self.layer1 = nn.Sequential(first(64, 64, 1), first(64, 64, 1))
        self.layer2 = nn.Sequential(second(64, 128, 2), second(128, 128, 1))
        self.layer3 = nn.Sequential(third(128, 256, 2), third(256, 256, 1))
        self.layer4 = nn.Sequential(fourth(256, 512, 2), fourth(512, 512, 1))
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512, classes)
        init_convolutions(self)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        x = self.stem(clip.transpose(1, 2))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return logits


def plain_stem(channels: int) -> nn.Sequential:
    """The 3×7×7 convolution that a network in time begins with (Tran et al. 2018, table 1)."""
    conv = conv3d(channels, 64, (3, 7, 7), (1, 2, 2))
    return nn.Sequential(conv, nn.BatchNorm3d(64), nn.ReLU(inplace=True))
