"""ViViT: Arnab et al., "ViViT: A Video Vision Transformer", ICCV 2021, section 3.

The clip is cut into tubelets, patches of two frames. Two ways of attention over them:

- joint (model 1): every token looks at every other in space and time.
- factorised (model 2): a spatial encoder sees the tokens of one moment, and gives its class token; a
  temporal encoder of a few layers sees those.

From a 2-D ViT the tubelets begin with its patches in their central frame and zero elsewhere (section
3.4, "central frame initialisation"). timm's ViTs of that size expect a mean and a deviation of 0.5
(`vit_base_patch16_224` in its `vision_transformer.py`), which brings RGB to −1 … 1.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from twostream.nets.attention import (
    EPS,
    Grid,
    TubeletEmbed,
    check_encoder,
    encoder_layers,
    init_encoder,
    learned,
    own_names,
    resample_square,
    resample_times,
    resample_tokens,
    tokens_of,
    with_class_token,
)
from twostream.nets.layers import check_share
from twostream.nets.model_card import Card
from twostream.nets.pretrained import Pretrained
from twostream.nets.rollout import from_first

CARD = Card(
    paper="Arnab et al., ViViT: A Video Vision Transformer, ICCV",
    year=2021,
    length=32,
    stride=2,
    weights="a 2-D ViT's, timm's",
)


class Joint(nn.Module):
    """Model 1: (B, T, C, H, W) → logits (B, K); T fills tubelets, H and W patches.

    Positions are those of the tokens of `grid`; a clip of another size sees them interpolated.
    """

    def __init__(
        self,
        patch_embed: TubeletEmbed,
        classes: int,
        *,
        grid: Grid,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self._grid = grid
        self.patch_embed = patch_embed
        self.cls_token = learned(1, width)
        self.pos_embed = learned(1 + grid[0] * grid[1] * grid[2], width)
        self.blocks = encoder_layers(width, depth, heads, drop_path)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, classes)
        init_encoder(self)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        maps = self.patch_embed(clip)
        grid = (maps.shape[2], maps.shape[3], maps.shape[4])
        positions = resample_tokens(self.pos_embed, self._grid, grid, class_token=True)
        x = with_class_token(self.cls_token, tokens_of(maps).flatten(1, 2)) + positions
        x = self.norm(self.blocks(x))
        logits: Tensor = self.fc(self.dropout(x[:, 0]))
        return logits

    def rollout(self, attentions: list[Tensor], shape: torch.Size) -> Tensor:
        """The share of each tubelet in the answer (T', H', W'); see `nets.rollout`."""
        share = from_first(attentions)
        return torch.unflatten(share[0, 1:], 0, self.patch_embed.grid(shape))

    @property
    def pretrained(self) -> Pretrained:
        """How a 2-D ViT's weights fit."""
        return Pretrained(
            first_layer="patch_embed.proj",
            head="fc",
            fresh=("fc.",),  # weights without classes have no last layer
            translate=self._translate,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        )

    def no_weight_decay(self) -> frozenset[str]:
        """The class token and the positions."""
        return frozenset({"cls_token", "pos_embed"})

    def _translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A 2-D ViT's weights for tubelets; its positions are the same at all times."""
        named = _of_pictures(state, self.patch_embed, self._grid)
        times, height, width = self._grid
        positions = named.get("pos_embed")
        if positions is not None and positions.shape[1] == 1 + height * width:
            at_all_times = positions[:, 1:].repeat(1, times, 1)
            named["pos_embed"] = torch.cat((positions[:, :1], at_all_times), 1)
        return named


class Factorised(nn.Module):
    """Model 2: (B, T, C, H, W) → logits (B, K); T fills tubelets, H and W patches.

    Positions are those of the tokens of `grid`; a clip of another size sees them interpolated.
    """

    def __init__(
        self,
        patch_embed: TubeletEmbed,
        classes: int,
        *,
        grid: Grid,
        width: int,
        depth: int,
        temporal_depth: int,
        heads: int,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self._grid = grid
        self.patch_embed = patch_embed
        self.cls_token = learned(1, width)
        self.pos_embed = learned(1 + grid[1] * grid[2], width)
        self.blocks = encoder_layers(width, depth, heads, drop_path)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.time_token = learned(1, width)
        self.time_embed = learned(1 + grid[0], width)
        self.time_blocks = encoder_layers(width, temporal_depth, heads)
        self.time_norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, classes)
        init_encoder(self)

    def moments(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → what the spatial encoder says of each moment (B, T', D)."""
        maps = self.patch_embed(clip)
        tokens = tokens_of(maps)
        positions = resample_square(self.pos_embed, (maps.shape[3], maps.shape[4]))
        # Each moment is a row of its own.
        x = with_class_token(self.cls_token, tokens.flatten(0, 1)) + positions
        encoded: Tensor = self.norm(self.blocks(x))[:, 0]
        return torch.unflatten(encoded, 0, tokens.shape[:2])

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        moments = self.moments(clip)
        positions = resample_times(self.time_embed, moments.shape[1], class_token=True)
        x = with_class_token(self.time_token, moments) + positions
        x = self.time_norm(self.time_blocks(x))
        logits: Tensor = self.fc(self.dropout(x[:, 0]))
        return logits

    def rollout(self, attentions: list[Tensor], shape: torch.Size) -> Tensor:
        """The share of each tubelet in the answer (T', H', W'); see `nets.rollout`.

        It is the share of its moment in the clip's answer times its own in that of its moment.
        """
        of_places = from_first(attentions[: len(self.blocks)])[:, 1:]
        of_moments = from_first(attentions[len(self.blocks) :])[0, 1:]
        return torch.unflatten(of_moments[:, None] * of_places, 1, self.patch_embed.grid(shape)[1:])

    @property
    def pretrained(self) -> Pretrained:
        """How a 2-D ViT's weights fit."""
        return Pretrained(
            first_layer="patch_embed.proj",
            head="fc",
            # It has no encoder of time, and one that was trained without classes no last layer.
            fresh=("time_", "fc."),
            translate=self._translate,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        )

    def no_weight_decay(self) -> frozenset[str]:
        """The class tokens and the positions of both encoders."""
        return frozenset({"cls_token", "pos_embed", "time_token", "time_embed"})

    def _translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A 2-D ViT's weights for tubelets."""
        return _of_pictures(state, self.patch_embed, self._grid)


def _of_pictures(
    state: Mapping[str, Tensor], patch_embed: TubeletEmbed, grid: Grid
) -> dict[str, Tensor]:
    """A 2-D ViT's state with the kernel in the tubelets' central frame, and for a grid of patches.

    A state that has tubelets already is left as it is.
    """
    named = own_names(state)
    kernel = named.get("patch_embed.proj.weight")
    if kernel is None or kernel.ndim == 5:
        return named
    tubelet = patch_embed.proj.kernel_size[0]
    central = kernel.new_zeros(*kernel.shape[:2], tubelet, *kernel.shape[2:])
    central[:, :, tubelet // 2] = kernel
    named["patch_embed.proj.weight"] = central
    if "pos_embed" in named:
        named["pos_embed"] = resample_square(named["pos_embed"], grid[1:])
    return named


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    encoder: Literal["factorised", "joint"] = "factorised",
    tubelet: int = 2,
    size: int = 224,
    patch: int = 16,
    width: int = 768,
    depth: int = 12,
    temporal_depth: int = 4,
    heads: int = 12,
    dropout: float = 0.0,
    drop_path: float = 0.0,
) -> Joint | Factorised:
    """A ViViT-B for clips of `length` frames of `channels` channels.

    tubelet: its frames. size: side of the pictures, px, whose positions are learned.
    temporal_depth: layers of the factorised model's temporal encoder. drop_path: share of the clips
    for which the last layer is left out in training; the layers before it are so less and less.
    """
    check_share(dropout=dropout, drop_path=drop_path)
    check_encoder(
        width=width,
        heads=heads,
        patch=patch,
        size=size,
        depth=depth,
        tubelet=tubelet,
        temporal_depth=temporal_depth,
    )
    embed = TubeletEmbed(channels, width, tubelet=tubelet, patch=patch)
    grid = (max(1, length // tubelet), size // patch, size // patch)
    if encoder == "joint":
        return Joint(
            embed,
            classes,
            grid=grid,
            width=width,
            depth=depth,
            heads=heads,
            dropout=dropout,
            drop_path=drop_path,
        )
    return Factorised(
        embed,
        classes,
        grid=grid,
        width=width,
        depth=depth,
        temporal_depth=temporal_depth,
        heads=heads,
        dropout=dropout,
        drop_path=drop_path,
    )
