"""MViT: Fan et al., "Multiscale Vision Transformers", ICCV 2021, sections 3 and 4, MViT-B 16×4 (table 3).

Four scales of a transformer: from one to the next the tokens become fewer in space and twice as wide.
Attention itself makes them so: it pools its queries. Its keys and values are pooled everywhere, the more
the finer the scale. Names and shapes of the parameters are torchvision's (mvit_v1_b), but for the last
layer, which is `fc` as in the other models here. Its weights expect a mean of 0.45 and a deviation
of 0.225 (`transforms` of `MViT_V1_B_Weights`).
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from twostream.nets.attention import (
    EPS,
    DropPath,
    Grid,
    attend,
    init_encoder,
    resample_square,
    resample_times,
    resample_tokens,
    rising,
    split_heads,
    tokens_of,
    with_class_token,
)
from twostream.nets.layers import Triple, check_share
from twostream.nets.model_card import Card
from twostream.nets.pretrained import Pretrained
from twostream.nets.rollout import first_alone, spread

CARD = Card(
    paper="Fan et al., Multiscale Vision Transformers, ICCV",
    year=2021,
    length=16,
    stride=4,
    weights="torchvision's (Kinetics)",
)

# Layers at each scale. The paper's has 16; the others are for small experiments.
_DEPTHS = {"16": (1, 2, 11, 2), "8": (1, 2, 3, 2), "4": (1, 1, 1, 1)}
STRIDE = (2, 4, 4)  # of the first convolution
SAME, HALF = (1, 1, 1), (1, 2, 2)


def pooled(x: Tensor, grid: Grid, pool: nn.Module) -> tuple[Tensor, Grid]:
    """(B, h, 1 + N, D) with its tokens on a grid pooled, and the new grid; the class token stays."""
    batch, heads = x.shape[:2]
    maps = pool(torch.unflatten(x[:, :, 1:].flatten(0, 1).transpose(1, 2), 2, grid))
    tokens = maps.flatten(2).transpose(1, 2).unflatten(0, (batch, heads))
    return torch.cat((x[:, :, :1], tokens), 2), (maps.shape[2], maps.shape[3], maps.shape[4])


def _pooled_size(grid: Grid, stride: Triple) -> Grid:
    """The grid that is left; what does not fill a stride counts."""
    times, height, width = (math.ceil(n / s) for n, s in zip(grid, stride, strict=True))
    return times, height, width


def _unpooled(share: Tensor, grid: Grid, stride: Triple) -> Tensor:
    """The share of the tokens of a grid (rows, 1 + N) from that of what they were pooled to."""
    return torch.cat((share[:, :1], spread(share[:, 1:], grid, stride)), 1)


class Pool(nn.Module):
    """A convolution of each channel of a head by itself, and a normalisation (section 3.1)."""

    def __init__(self, width: int, stride: Triple) -> None:
        super().__init__()
        self.pool = nn.Conv3d(width, width, 3, stride, padding=1, groups=width, bias=False)
        self.norm_act = nn.Sequential(nn.LayerNorm(width, eps=EPS))

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, h, 1 + N, D) and its grid → both, pooled."""
        x, grid = pooled(x, grid, self.pool)
        return self.norm_act(x), grid


class PoolingAttention(nn.Module):
    """Multi-head pooling attention (section 3.1): (B, 1 + N, D) → (B, 1 + N', D)."""

    def __init__(self, width: int, heads: int, query_stride: Triple, key_stride: Triple) -> None:
        super().__init__()
        self.heads, self.query_stride, self.key_stride = heads, query_stride, key_stride
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Sequential(nn.Linear(width, width))
        self.pool_q = None if query_stride == SAME else Pool(width // heads, query_stride)
        self.pool_k = Pool(width // heads, key_stride)
        self.pool_v = Pool(width // heads, key_stride)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, 1 + N, D) on a grid → both, as the queries are pooled."""
        query, key, value = split_heads(self.qkv(x), self.heads)
        key, _ = self.pool_k(key, grid)
        value, _ = self.pool_v(value, grid)
        if self.pool_q is not None:
            query, grid = self.pool_q(query, grid)
        return self.project(attend(query, key, value)), grid


class MultiscaleBlock(nn.Module):
    """A layer whose attention may pool the tokens and whose MLP may widen them (section 3.2)."""

    def __init__(
        self,
        width: int,
        out: int,
        heads: int,
        query_stride: Triple,
        key_stride: Triple,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = PoolingAttention(width, heads, query_stride, key_stride)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        # Numbered as torchvision numbers them.
        parts = {"0": nn.Linear(width, 4 * width), "1": nn.GELU(), "3": nn.Linear(4 * width, out)}
        self.mlp = nn.Sequential(OrderedDict(parts))
        self.project = None if width == out else nn.Linear(width, out)
        kernel = tuple(s + 1 if s > 1 else 1 for s in query_stride)
        padding = tuple(k // 2 for k in kernel)
        self.pool_skip = (
            None if query_stride == SAME else nn.MaxPool3d(kernel, query_stride, padding)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, 1 + N, D) on a grid → (B, 1 + N', D') on the grid that is left."""
        found, left = self.attn(self.norm1(x), grid)
        if self.pool_skip is not None:
            x = pooled(x[:, None], grid, self.pool_skip)[0][:, 0]
        x = x + self.drop_path(found)
        normed = self.norm2(x)
        skip = x if self.project is None else self.project(normed)
        return skip + self.drop_path(self.mlp(normed)), left


class Positions(nn.Module):
    """The class token and the learned positions of all tokens, in space and in time by themselves.

    They are those of `grid`; other grids see them interpolated.
    """

    def __init__(self, width: int, grid: Grid) -> None:
        super().__init__()
        self._side = grid[1:]
        self.class_token = nn.Parameter(torch.empty(width))
        self.spatial_pos = nn.Parameter(torch.empty(grid[1] * grid[2], width))
        self.temporal_pos = nn.Parameter(torch.empty(grid[0], width))
        self.class_pos = nn.Parameter(torch.empty(width))
        for parameter in self.parameters():
            nn.init.trunc_normal_(parameter, std=0.02)

    def no_weight_decay(self) -> frozenset[str]:
        """All: the class token and the positions."""
        return frozenset(name for name, _ in self.named_parameters())

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T, H, W) → (B, 1 + T·H·W, D)."""
        frames, height, width = x.shape[2:]
        learned, grid = (1, *self._side), (1, height, width)
        of_space = resample_tokens(self.spatial_pos[None], learned, grid, class_token=False)
        of_time = resample_times(self.temporal_pos[None], frames)
        # A token has the sum of the positions of its place and of its time.
        positions = (of_space[:, None] + of_time[:, :, None]).flatten(1, 2)
        token = (self.class_token + self.class_pos)[None, None]
        return with_class_token(token, tokens_of(x).flatten(1, 2) + positions)


class MViT(nn.Module):
    """(B, T, C, H, W) → logits (B, K), for any size."""

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        grid: Grid,
        width: int,
        depths: Sequence[int],
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self._grid = grid
        self.conv_proj = nn.Conv3d(channels, width, (3, 7, 7), STRIDE, (1, 3, 3))
        self.pos_encoding = Positions(width, grid)
        self.blocks = nn.ModuleList()
        shares = iter(rising(drop_path, sum(depths)))
        heads = 1
        for scale, depth in enumerate(depths):
            key_stride = (1, 8 >> scale, 8 >> scale)
            for layer in range(depth):
                # The last layer of a scale widens the tokens, the first of the next pools them.
                widens = layer == depth - 1 and scale < len(depths) - 1
                out = 2 * width if widens else width
                stride = HALF if layer == 0 and scale > 0 else SAME
                block = MultiscaleBlock(width, out, heads, stride, key_stride, next(shares))
                self.blocks.append(block)
                width = out
            heads *= 2
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, classes)
        init_encoder(self)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        maps = self.conv_proj(clip.transpose(1, 2))
        grid = (maps.shape[2], maps.shape[3], maps.shape[4])
        x = self.pos_encoding(maps)
        for block in self.blocks:
            x, grid = block(x, grid)
        logits: Tensor = self.fc(self.dropout(self.norm(x[:, 0])))
        return logits

    def rollout(self, attentions: list[Tensor], shape: torch.Size) -> Tensor:
        """The share of each token of the first layer in the answer (T', H', W'); see `nets.rollout`.

        What was pooled has its share in equal parts from the tokens that it was pooled from.
        """
        grid = _pooled_size((shape[1], shape[3], shape[4]), STRIDE)
        layers = []
        before = grid
        for block, weights in zip(self.blocks, attentions, strict=True):
            attention: Any = block.attn
            layers.append((before, attention.query_stride, attention.key_stride, weights))
            before = _pooled_size(before, attention.query_stride)
        share = first_alone(1, attentions[-1].shape[1], attentions[-1])
        for before, query_stride, key_stride, weights in reversed(layers):
            passed = _unpooled(share, before, query_stride)
            found = _unpooled((share[:, None] @ weights)[:, 0], before, key_stride)
            share = 0.5 * passed + 0.5 * found
        return torch.unflatten(share[0, 1:], 0, grid)

    @property
    def pretrained(self) -> Pretrained:
        """How torchvision's weights fit."""
        return Pretrained(
            first_layer="conv_proj",
            head="fc",
            translate=self._translate,
            published="https://download.pytorch.org/models/mvit_v1_b-dbeb1030.pth",
            mean=(0.45, 0.45, 0.45),
            std=(0.225, 0.225, 0.225),
        )

    def _translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state of torchvision under this network's names, with positions for its length and size."""
        named = {name.replace("head.1.", "fc."): value for name, value in state.items()}
        frames, height, width = self._grid
        times, places = "pos_encoding.temporal_pos", "pos_encoding.spatial_pos"
        if times in named:
            named[times] = resample_times(named[times][None], frames)[0]
        if places in named:
            grid = (height, width)
            named[places] = resample_square(named[places][None], grid, class_token=False)[0]
        return named


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    size: int = 224,
    width: int = 96,
    depth: Literal["16", "8", "4"] = "16",
    dropout: float = 0.5,
    drop_path: float = 0.2,
) -> MViT:
    """An MViT-B for clips of `length` frames of `channels` channels.

    size: side of the pictures, px, whose positions are learned. width: of the finest scale's tokens.
    drop_path: share of the clips for which the last layer is left out in training; the layers before
    it are so less and less.
    """
    check_share(dropout=dropout, drop_path=drop_path)
    if width < 1:
        raise ValueError(f"width={width} must be 1 or more")
    if size < 1:
        raise ValueError(f"size={size} must be 1 or more")
    grid = _pooled_size((length, size, size), STRIDE)
    return MViT(
        channels,
        classes,
        grid=grid,
        width=width,
        depths=_DEPTHS[depth],
        dropout=dropout,
        drop_path=drop_path,
    )
