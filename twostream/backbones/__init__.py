"""2-D networks, one a file: pictures (B, C, H, W) → logits (B, K). The models extend them in time.

`create(*, channels, classes, dropout, …options)` returns a module with

- `forward`: logits (B, K); with classes=0 the features (B, width) before the last layer.
- `maps(x)`: the last map of each resolution, finest first. With classes=None nothing lies behind them.
- `width`: how many features. `map_widths`: channels of each map.
- `pretrained`: how published weights fit; a `twostream.nets.pretrained.Pretrained`.
"""

import re
import sys
from typing import Any

from torch import nn

from flowcache import plugins
from flowcache.errors import UserError


def create(
    name: str, *, channels: int, classes: int | None, dropout: float = 0.0, **options: Any
) -> Any:
    """A network by name: a file (alexnet), with its variant (resnet50), or FILE/VARIANT (timm/…).

    UserError for a name that there is not.
    """
    folder = sys.modules[__name__]
    file, variant = _split(name, plugins.names(folder))
    if file not in plugins.names(folder):
        raise UserError(
            f"there is no backbone {name!r}: choose efficientnet_lite0 to 4, resnet18, resnet34, "
            "resnet50, alexnet, vgg16, cnn_m_2048, tiny, or timm/NAME"
        )
    if variant:
        try:
            options |= plugins.parse_options(folder, file, [f"variant={variant}"])
        except UserError as error:
            raise UserError(f"there is no backbone {name!r}: {error}") from None
    network: nn.Module = plugins.create(
        folder, file, channels=channels, classes=classes, dropout=dropout, **options
    )
    return network


def _split(name: str, files: list[str]) -> tuple[str, str]:
    if name in files:
        return name, ""
    if "/" in name:
        file, _, variant = name.partition("/")
        return file, variant
    parts = re.fullmatch(r"(.*?)(\d+)", name)
    return (parts[1], parts[2]) if parts else (name, "")
