"""What the vision transformers in time share: the encoder's parts, its tokens, and their positions.

Tokens are in one order everywhere: a class token where there is one, then those of one time after
another, and of a time row by row. Their shape is (B, T·N, D), or (B, T, N, D) while times are apart:
clips, times, places, of which a map has N = H·W, and channels. [1 +] counts the class token, if any.

Names of parameters are those of timm's and the authors' Vision Transformers (Dosovitskiy et al., "An
Image is Worth 16x16 Words", ICLR 2021), so that their weights fit.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from twostream.nets.layers import ClipSizeError

# Tokens in time, height, width.
Grid = tuple[int, int, int]
EPS = 1e-6  # of the normalisations, as the published networks were trained


# The encoder


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values side by side (B, N, 3D) → each by itself, (B, h, N, D/h)."""
    query, key, value = torch.unflatten(qkv, -1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return query, key, value


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, h, N, D/h) → (B, N, D): softmax(q kᵀ / √(D/h)) v in each head, side by side again."""
    found = functional.scaled_dot_product_attention(query, key, value)
    return found.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Every token looks at every other: (B, N, D) → (B, N, D)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        out: Tensor = self.proj(attend(*split_heads(self.qkv(x), self.heads)))
        return out


class MLP(nn.Module):
    """Two layers on each token by itself, four times as wide between them: (…, D) → (…, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class DropPath(nn.Module):
    """Leaves out what a layer adds, for a share of the rows (Huang et al. 2016, stochastic depth).

    (B, …) → (B, …), where a row is a clip, or a part of one that the layer sees by itself; what stays is
    scaled up, so that the mean stays too. In evaluation nothing changes.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """(B, …) → (B, …)."""
        if not self.training or self.share == 0:
            return x
        kept = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - self.share)
        return x * kept / (1 - self.share)


def rising(share: float, depth: int) -> list[float]:
    """The share of clips that each of `depth` layers leaves out: from 0 evenly up to `share`."""
    return [share * layer / max(1, depth - 1) for layer in range(depth)]


class Block(nn.Module):
    """A layer of the encoder (Dosovitskiy et al. 2021, equations 2 and 3): (B, N, D) → (B, N, D)."""

    def __init__(self, width: int, attention: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = attention
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = MLP(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


def encoder_layers(
    width: int,
    depth: int,
    heads: int,
    drop_path: float = 0.0,
    attention: Callable[[int, int], nn.Module] = Attention,
) -> nn.Sequential:
    """`depth` layers, one behind the other; attention(width, heads) makes the heart of each."""
    shares = rising(drop_path, depth)
    return nn.Sequential(*(Block(width, attention(width, heads), share) for share in shares))


def check_encoder(*, width: int, heads: int, patch: int, size: int, **counts: int) -> None:
    """ValueError unless heads share the width evenly, patches the size, and all are 1 or more."""
    for name, value in {"width": width, "heads": heads, "patch": patch, **counts}.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be 1 or more")
    if width % heads:
        raise ValueError(f"heads={heads} must divide width={width}")
    if size < patch or size % patch:
        raise ValueError(f"size={size} must be a multiple of patch={patch}")


def small(weight: Tensor) -> None:
    """Draw from a normal distribution of deviation 0.02, as the weights of most ViTs began."""
    nn.init.trunc_normal_(weight, std=0.02)


def init_encoder(network: nn.Module, *, draw: Callable[[Tensor], object] = small) -> None:
    """Draw the weights of all linear layers, by draw(weight) in place, and set their offsets to zero.

    Normalisations begin with scale 1 and offset 0 by themselves.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def learned(*shape: int) -> nn.Parameter:
    """Tokens or positions to be learned, (1, N, D), small at first."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, *shape), std=0.02))


# Tokens


class TubeletEmbed(nn.Module):
    """A linear map of each tubelet, a patch in space and time (Arnab et al. 2021, section 3.2).

    (B, T, C, H, W) → maps (B, D, T', H', W'). ClipSizeError for a clip that tubelets do not fill.
    """

    def __init__(self, channels: int, width: int, *, tubelet: int, patch: int) -> None:
        super().__init__()
        size = (tubelet, patch, patch)
        self.proj = nn.Conv3d(channels, width, size, stride=size)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → (B, D, T', H', W')."""
        tubelet, patch, _ = self.proj.kernel_size
        require_whole(clip, tubelet=tubelet, patch=patch)
        maps: Tensor = self.proj(clip.transpose(1, 2))
        return maps

    def grid(self, shape: torch.Size) -> Grid:
        """The grid of the tokens of clips of a shape (B, T, C, H, W)."""
        tubelet, patch, _ = self.proj.kernel_size
        return shape[1] // tubelet, shape[3] // patch, shape[4] // patch


def require_whole(clip: Tensor, *, patch: int, tubelet: int = 1) -> None:
    """ClipSizeError unless a clip (B, T, C, H, W) is made up of whole tubelets."""
    frames, (height, width) = clip.shape[1], clip.shape[-2:]
    if height % patch or width % patch:
        raise ClipSizeError(
            f"patches of {patch}×{patch} do not fill pictures of {width}×{height}: give a crop that "
            f"is a multiple of {patch}",
            "crop",
        )
    if frames % tubelet:
        raise ClipSizeError(
            f"tubelets of {tubelet} frames do not fill clips of {frames}: give a length that is a "
            f"multiple of {tubelet}",
            "length",
        )


def tokens_of(maps: Tensor) -> Tensor:
    """Maps (B, D, T, H, W) → their tokens, times apart: (B, T, H·W, D)."""
    return maps.flatten(3).permute(0, 2, 3, 1)


def with_class_token(token: Tensor, tokens: Tensor) -> Tensor:
    """One class token (1, 1, D) before the tokens of each row (B, N, D) → (B, 1 + N, D)."""
    return torch.cat((token.expand(tokens.shape[0], -1, -1), tokens), 1)


# Positions


def resample(positions: Tensor, grid: Grid) -> Tensor:
    """Positions (T, H, W, D) for another grid: bicubic in space, linear in time.

    A grid of the same size leaves them as they are.
    """
    values = positions.float()  # half precision is too coarse to interpolate in
    if tuple(values.shape[1:3]) != grid[1:]:
        maps = values.permute(0, 3, 1, 2)
        maps = functional.interpolate(maps, grid[1:], mode="bicubic", antialias=True)
        values = maps.permute(0, 2, 3, 1)
    if values.shape[0] != grid[0]:
        rows = values.flatten(1).T[None]
        rows = functional.interpolate(rows, grid[0], mode="linear")
        values = torch.unflatten(rows[0].T, 1, (*grid[1:], -1))
    return values.to(positions.dtype)


def resample_tokens(positions: Tensor, learned: Grid, grid: Grid, *, class_token: bool) -> Tensor:
    """Positions of the tokens of one grid → of another's: (1, [1 +] T·H·W, D) → the same.

    class_token: the first is a class token's, which is on no grid and stays as it is.
    """
    first = int(class_token)
    on_grid = torch.unflatten(positions[0, first:], 0, learned)
    return torch.cat((positions[:, :first], resample(on_grid, grid).flatten(0, 2)[None]), 1)


def resample_square(
    positions: Tensor, grid: tuple[int, int], *, class_token: bool = True
) -> Tensor:
    """Positions in space (1, [1 +] S², D) of a square → (1, [1 +] H·W, D).

    Of patches that make no square they are left as they are.
    """
    places = positions.shape[1] - int(class_token)
    side = math.isqrt(places)
    if side * side != places:
        return positions
    return resample_tokens(positions, (1, side, side), (1, *grid), class_token=class_token)


def resample_times(positions: Tensor, count: int, *, class_token: bool = False) -> Tensor:
    """Positions in time (1, [1 +] T, D) → (1, [1 +] count, D)."""
    times = positions.shape[1] - int(class_token)
    return resample_tokens(positions, (times, 1, 1), (count, 1, 1), class_token=class_token)


# Published weights


def own_names(state: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """The state without the prefix; the published last layer, `head`, is `fc` here."""
    named = {}
    for name, value in state.items():
        name = name.removeprefix(prefix)
        named["fc." + name.removeprefix("head.") if name.startswith("head.") else name] = value
    return named
