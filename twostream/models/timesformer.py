"""TimeSformer: Bertasius, Wang, Torresani, "Is Space-Time Attention All You Need for Video
Understanding?", ICML 2021, section 3, with divided attention (equations 8 and 9).

A Vision Transformer sees the patches of all frames. In each layer a patch first looks at the patches
of its own place in the other frames, then at those of its own frame. One class token is the clip's: it
is in every frame's attention, and takes the mean of what it finds there.

The authors' weights expect a mean of 0.45 and a deviation of 0.225 (`DATA.MEAN` and `DATA.STD` of their
`timesformer/config/defaults.py`); timm's of pictures were trained with 0.5 and 0.5.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from twostream.nets.attention import (
    EPS,
    MLP,
    Attention,
    DropPath,
    check_encoder,
    init_encoder,
    learned,
    own_names,
    require_whole,
    resample_square,
    resample_times,
    rising,
    tokens_of,
    with_class_token,
)
from twostream.nets.layers import check_share
from twostream.nets.model_card import Card
from twostream.nets.pretrained import Pretrained
from twostream.nets.rollout import through_layer

CARD = Card(
    paper="Bertasius et al., Is Space-Time Attention All You Need?, ICML",
    year=2021,
    length=8,
    stride=32,
    weights="the authors'; a 2-D ViT's, timm's",
)


class PatchEmbed(nn.Module):
    """A linear map of each patch of each frame: (B, T, C, H, W) → maps (B, D, T, H', W')."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → (B, D, T, H', W')."""
        require_whole(clip, patch=self.proj.kernel_size[0])
        maps: Tensor = self.proj(clip.flatten(0, 1))
        return torch.unflatten(maps, 0, clip.shape[:2]).transpose(1, 2)


class DividedBlock(nn.Module):
    """A layer that attends in time, then in space (section 3.3): (B, 1 + T·N, D) → the same.

    The class token comes first, then the patches of one frame after another. In training `drop_path` is
    the share, as in the authors' code, of the places of a clip for which attention in time is left out,
    of the frames for which attention in space is, and of the clips for which the MLP is.
    """

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.temporal_norm1 = nn.LayerNorm(width, eps=EPS)
        self.temporal_attn = Attention(width, heads)
        self.temporal_fc = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = MLP(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B, 1 + T·N, D) → (B, 1 + T·N, D)."""
        batch, width = x.shape[0], x.shape[-1]
        token, patches = x[:, :1], x[:, 1:].reshape(batch, frames, -1, width)

        of_place = patches.transpose(1, 2).reshape(-1, frames, width)
        # Before the linear layer, whose offset therefore always passes.
        found = self.drop_path(self.temporal_attn(self.temporal_norm1(of_place)))
        found = self.temporal_fc(found).reshape(batch, -1, frames, width).transpose(1, 2)
        patches = patches + found

        everywhere = token[:, None].expand(-1, frames, -1, -1)
        of_frame = torch.cat((everywhere, patches), 2)
        found = self.drop_path(self.attn(self.norm1(of_frame.flatten(0, 1))))
        found = found.reshape(of_frame.shape)
        found = torch.cat((found[:, :, 0].mean(1, keepdim=True), found[:, :, 1:].flatten(1, 2)), 1)
        x = torch.cat((token, patches.flatten(1, 2)), 1) + found

        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class TimeSformer(nn.Module):
    """(B, T, C, H, W) → logits (B, K); H and W are multiples of the patch.

    Positions in space are those of a square of `grid`² patches, in time those of `length` frames; a
    clip of another size sees them interpolated.
    """

    def __init__(
        self,
        channels: int,
        length: int,
        classes: int,
        *,
        grid: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self._grid = grid
        self.patch_embed = PatchEmbed(channels, width, patch)
        self.cls_token = learned(1, width)
        self.pos_embed = learned(1 + grid * grid, width)
        self.time_embed = nn.Parameter(torch.zeros(1, length, width))
        blocks = [DividedBlock(width, heads, share) for share in rising(drop_path, depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, classes)
        init_encoder(self)
        # Each layer begins as one that sees frames by themselves, as the authors' does.
        for block in blocks:
            nn.init.zeros_(block.temporal_fc.weight)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        maps = self.patch_embed(clip)
        frames = maps.shape[2]
        of_space = resample_square(self.pos_embed, (maps.shape[3], maps.shape[4]))
        of_time = resample_times(self.time_embed, frames)
        # A patch has the position of its place and that of its frame, the class token one alone.
        patches = tokens_of(maps) + of_space[:, None, 1:] + of_time[:, :, None]
        x = with_class_token(self.cls_token + of_space[:, :1], patches.flatten(1, 2))
        for block in self.blocks:
            x = block(x, frames)
        logits: Tensor = self.fc(self.dropout(self.norm(x[:, 0])))
        return logits

    def rollout(self, attentions: list[Tensor], shape: torch.Size) -> Tensor:
        """The share of each patch in the answer (T, H', W'); see `nets.rollout`."""
        in_time, in_space = attentions[0::2], attentions[1::2]
        places, frames, _ = in_time[0].shape
        token, patches = in_time[0].new_ones(1), in_time[0].new_zeros(frames, places)
        for of_place, of_frame in zip(reversed(in_time), reversed(in_space), strict=True):
            # What the class token found is the mean over the frames, in each of which it stands.
            everywhere = (token / frames).expand(frames, 1)
            share = through_layer(torch.cat((everywhere, patches), 1), of_frame)
            token, patches = share[:, 0].sum(0, keepdim=True), share[:, 1:]
            patches = through_layer(patches.T, of_place).T
        patch = self.patch_embed.proj.kernel_size[0]
        return torch.unflatten(patches, 1, (shape[3] // patch, shape[4] // patch))

    @property
    def pretrained(self) -> Pretrained:
        """How the authors' weights and a 2-D ViT's fit."""
        return Pretrained(
            first_layer="patch_embed.proj",
            head="fc",
            # Weights of pictures have no say in these, and some no classes.
            fresh=("fc.", *(f"blocks.{i}.temporal_fc." for i in range(len(self.blocks)))),
            translate=self._translate,
            mean=(0.45, 0.45, 0.45),
            std=(0.225, 0.225, 0.225),
        )

    def no_weight_decay(self) -> frozenset[str]:
        """The class token and the positions."""
        return frozenset({"cls_token", "pos_embed", "time_embed"})

    def _translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' checkpoint, or a 2-D ViT's, in this network's names and grid.

        From a 2-D ViT attention in time starts as a copy of that in space, and time has no positions.
        """
        named = own_names(state)
        if not any(".temporal_attn." in name for name in named):
            for of_space, of_time in (
                (".norm1.", ".temporal_norm1."),
                (".attn.", ".temporal_attn."),
            ):
                named |= {
                    n.replace(of_space, of_time): v for n, v in named.items() if of_space in n
                }
            named.setdefault("time_embed", torch.zeros_like(self.time_embed))
        if "pos_embed" in named:
            named["pos_embed"] = resample_square(named["pos_embed"], (self._grid, self._grid))
        if "time_embed" in named:
            named["time_embed"] = resample_times(named["time_embed"], self.time_embed.shape[1])
        return named


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    size: int = 224,
    patch: int = 16,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    dropout: float = 0.0,
    drop_path: float = 0.1,
) -> TimeSformer:
    """A ViT-B with divided attention for clips of `length` frames of `channels` channels.

    size: side of the pictures, px, whose positions are learned. drop_path: share of the places, frames
    and clips for which the last layer's attention in time, in space and its MLP are left out in
    training, as in the authors' training on Kinetics; those of the layers before it are so less and less.
    """
    check_share(dropout=dropout, drop_path=drop_path)
    check_encoder(width=width, heads=heads, patch=patch, size=size, depth=depth)
    return TimeSformer(
        channels,
        length,
        classes,
        grid=size // patch,
        patch=patch,
        width=width,
        depth=depth,
        heads=heads,
        dropout=dropout,
        drop_path=drop_path,
    )
