"""VideoMAE: Tong, Song, Wang, Wang, "VideoMAE: Masked Autoencoders are Data-Efficient Learners for
Self-Supervised Video Pre-Training", NeurIPS 2022, section 3.

A Vision Transformer over tubelets, patches of two frames, all of which look at one another. It is first
trained without labels: of a clip only a tenth of the patches is shown to it, the same at all times, and a
small decoder has to say what the others look like. `VideoMAE` classifies, `Pretrainer` trains so. The
authors' weights expect ImageNet's mean and deviation (their `datasets.py`).
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from twostream.nets.attention import (
    EPS,
    TubeletEmbed,
    attend,
    check_encoder,
    encoder_layers,
    init_encoder,
    own_names,
    small,
    split_heads,
    tokens_of,
)
from twostream.nets.layers import ClipSizeError, check_share
from twostream.nets.model_card import Card
from twostream.nets.pretrained import Pretrained
from twostream.nets.rollout import through_layer

CARD = Card(
    paper="Tong et al., VideoMAE: Masked Autoencoders are Data-Efficient Learners, NeurIPS",
    year=2022,
    length=16,
    stride=4,
    weights="the authors', pretrained or Kinetics'",
)
HEAD_SCALE = 0.001  # of the last layer's first weights, as the authors fine-tune


class KeyUnbiasedAttention(nn.Module):
    """Attention whose keys have no offset: every query would meet the same: (B, N, D) → (B, N, D)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = functional.linear(x, self.qkv.weight, bias)
        out: Tensor = self.proj(attend(*split_heads(qkv, self.heads)))
        return out


def sine_positions(count: int, like: Tensor) -> Tensor:
    """Fixed positions of `count` tokens in a row, in time, height, width → (count, D).

    Vaswani et al. 2017, section 3.5: sines at even places and cosines at odd ones, of ever longer waves.
    D, device and type are those of `like` (…, D).
    """
    width = like.shape[-1]
    place = torch.arange(count, device=like.device, dtype=torch.float32)
    channel = torch.arange(width, device=like.device)
    angle = place[:, None] / 10000 ** (2 * (channel // 2) / width)
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).to(like.dtype)


def sine_positions_at(shape: Sequence[int], like: Tensor) -> Tensor:
    """`sine_positions` of T' × N tokens whose times are apart: a shape (T', N) → (T', N, D)."""
    return torch.unflatten(sine_positions(math.prod(shape), like), 0, tuple(shape))


def placed_tokens(patch_embed: TubeletEmbed, clip: Tensor) -> Tensor:
    """A clip (B, T, C, H, W) → its tokens with their positions, times apart (B, T', N, D)."""
    tokens = tokens_of(patch_embed(clip))
    return tokens + sine_positions_at(tokens.shape[1:3], tokens)


class VideoMAE(nn.Module):
    """(B, T, C, H, W) → logits (B, K) from the mean over tokens; T fills tubelets, H and W patches.

    Its layers begin as the authors' do in pretraining (Glorot & Bengio 2010, uniform), for in fine-tuning
    they are loaded; the last one begins as theirs in fine-tuning.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        tubelet: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        drop_path: float,
        mask_ratio: float,
    ) -> None:
        super().__init__()
        self._heads = heads
        self._mask_ratio = mask_ratio
        self.patch_embed = TubeletEmbed(channels, width, tubelet=tubelet, patch=patch)
        self.blocks = encoder_layers(width, depth, heads, drop_path, KeyUnbiasedAttention)
        self.fc_norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, classes)
        init_encoder(self, draw=nn.init.xavier_uniform_)
        # What was pretrained is disturbed little by a last layer that begins next to zero.
        small(self.fc.weight)
        with torch.no_grad():
            self.fc.weight.mul_(HEAD_SCALE)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → logits (B, K)."""
        x = self.blocks(placed_tokens(self.patch_embed, clip).flatten(1, 2))
        logits: Tensor = self.fc(self.dropout(self.fc_norm(x.mean(1))))
        return logits

    def rollout(self, attentions: list[Tensor], shape: torch.Size) -> Tensor:
        """The share of each tubelet in the answer (T', H', W'); see `nets.rollout`."""
        tokens = attentions[-1].shape[1]
        share = attentions[-1].new_full((1, tokens), 1 / tokens)  # the answer reads the mean
        for weights in reversed(attentions):
            share = through_layer(share, weights)
        return torch.unflatten(share[0], 0, self.patch_embed.grid(shape))

    def pretrainer(self) -> "Pretrainer":
        """A module that trains this network's patches and layers without labels; they are shared."""
        return Pretrainer(self.patch_embed, self.blocks, self._heads, self._mask_ratio)

    @property
    def pretrained(self) -> Pretrained:
        """How the authors' weights fit, and those of a `Pretrainer`."""
        return Pretrained(
            first_layer="patch_embed.proj",
            head="fc",
            # Pretraining has no classes, and a normalisation and a decoder that are no part of this.
            fresh=("fc_norm.", "fc."),
            unused=("norm.", "decoder.", "encoder_to_decoder.", "mask_token"),
            translate=self._translate,
        )

    def _translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' checkpoints, or a `Pretrainer`'s, in this network's names."""
        return own_names(state, "encoder.")


class Encoder(nn.Module):
    """The network that is pretrained, up to a normalisation of its own."""

    def __init__(self, patch_embed: TubeletEmbed, blocks: nn.Sequential, width: int) -> None:
        super().__init__()
        self.patch_embed = patch_embed
        self.blocks = blocks
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, clip: Tensor, visible: Tensor) -> Tensor:
        """A clip, and which places are visible (B, V) → their tokens at all times (B, T'·V, D)."""
        tokens = placed_tokens(self.patch_embed, clip)
        out: Tensor = self.norm(self.blocks(at_places(tokens, visible).flatten(1, 2)))
        return out


class Decoder(nn.Module):
    """A smaller network that says what the masked patches look like."""

    def __init__(self, width: int, depth: int, heads: int, values: int) -> None:
        super().__init__()
        self.blocks = encoder_layers(width, depth, heads, attention=KeyUnbiasedAttention)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.head = nn.Linear(width, values)

    def forward(self, tokens: Tensor, masked: int) -> Tensor:
        """(B, N, D) → the values of the last `masked` patches (B, masked, P)."""
        values: Tensor = self.head(self.norm(self.blocks(tokens)[:, -masked:]))
        return values


class Pretrainer(nn.Module):
    """(B, T, C, H, W) → the loss of guessing the masked patches (section 3.3 and 3.4), a scalar.

    The decoder has half the encoder's heads, each as wide, and four layers; for ViT-B it is 384 wide.
    Names of parameters are those of the authors' pretraining checkpoints.
    """

    def __init__(
        self, patch_embed: TubeletEmbed, blocks: nn.Sequential, heads: int, mask_ratio: float
    ) -> None:
        super().__init__()
        conv = patch_embed.proj
        self._mask_ratio = mask_ratio
        self._tubelet, self._patch, _ = conv.kernel_size
        wide, narrow_heads = conv.out_channels, max(1, heads // 2)
        narrow = wide // heads * narrow_heads
        values = conv.in_channels * self._tubelet * self._patch**2
        self.encoder = Encoder(patch_embed, blocks, wide)
        self.encoder_to_decoder = nn.Linear(wide, narrow, bias=False)
        # The authors cut at one deviation.
        token = nn.init.trunc_normal_(torch.empty(1, 1, narrow), std=0.02, a=-0.02, b=0.02)
        self.mask_token = nn.Parameter(token)
        self.decoder = Decoder(narrow, 4, narrow_heads, values)
        # The map to the decoder begins as PyTorch's linear layers do, theirs too.
        init_encoder(self.decoder, draw=nn.init.xavier_uniform_)

    def no_weight_decay(self) -> frozenset[str]:
        """The mask token; positions are fixed."""
        return frozenset({"mask_token"})

    def forward(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) → scalar loss; the mask is drawn from torch's global generator."""
        order, visible = self.draw(clip)
        return self.loss(clip, order, visible)

    def draw(self, clip: Tensor) -> tuple[Tensor, int]:
        """All places in an order drawn for each clip (B, N), and how many of them are visible.

        Tube masking (section 3.3): a place that is masked is so at all times.
        """
        height, width = clip.shape[-2:]
        places = (height // self._patch) * (width // self._patch)
        if places < 2:
            raise ClipSizeError(
                f"masking needs two patches of {self._patch}×{self._patch} or more and pictures of "
                f"{width}×{height} have fewer: give a larger crop",
                "crop",
            )
        masked = min(max(int(self._mask_ratio * places), 1), places - 1)
        return torch.rand(len(clip), places, device=clip.device).argsort(1), places - masked

    def loss(self, clip: Tensor, order: Tensor, visible: int) -> Tensor:
        """The mean squared error over the masked patches, all but the first `visible` of `order`."""
        encoded = self.encoder_to_decoder(self.encoder(clip, order[:, :visible]))
        target = normalised_patches(clip, self._tubelet, self._patch)
        positions = sine_positions_at(target.shape[1:3], encoded).expand(len(clip), -1, -1, -1)
        shown = at_places(positions, order[:, :visible]).flatten(1, 2)
        hidden = at_places(positions, order[:, visible:]).flatten(1, 2)
        tokens = torch.cat((encoded + shown, self.mask_token + hidden), 1)
        guess = self.decoder(tokens, hidden.shape[1])
        return functional.mse_loss(guess, at_places(target, order[:, visible:]).flatten(1, 2))


def at_places(values: Tensor, places: Tensor) -> Tensor:
    """(B, T, N, D) at the places (B, V), the same at all times → (B, T, V, D)."""
    return values.gather(
        2, places[:, None, :, None].expand(-1, values.shape[1], -1, values.shape[3])
    )


def normalised_patches(clip: Tensor, tubelet: int, patch: int) -> Tensor:
    """(B, T, C, H, W) → (B, T', N, P), the pixels of each tubelet, in time, height, width, channel.

    Each tubelet has mean 0 and variance 1 in every channel (section 4.1, after He et al. 2022).
    """
    batch, frames, channels, height, width = clip.shape
    x = clip.reshape(
        batch, frames // tubelet, tubelet, channels, height // patch, patch, width // patch, patch
    )
    x = x.permute(0, 1, 4, 6, 2, 5, 7, 3).flatten(2, 3).flatten(3, 5)
    spread = x.var(3, keepdim=True).sqrt() + 1e-6  # a patch of one colour has none
    return ((x - x.mean(3, keepdim=True)) / spread).flatten(3)


def create(
    *,
    channels: int,
    length: int,
    classes: int,
    tubelet: int = 2,
    patch: int = 16,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    dropout: float = 0.5,
    drop_path: float = 0.0,
    mask_ratio: float = 0.9,
) -> VideoMAE:
    """A ViT-B over tubelets of clips of `channels` channels, of any length.

    tubelet: its frames. mask_ratio: share of the patches that pretraining hides. drop_path: share of
    the clips for which the last layer is left out in training, those before it less and less; the
    paper has none in pretraining and 0.1 behind it.
    """
    check_share(dropout=dropout, drop_path=drop_path)
    check_encoder(width=width, heads=heads, patch=patch, size=patch, depth=depth, tubelet=tubelet)
    if not 0 < mask_ratio < 1:
        raise ValueError(f"mask_ratio={mask_ratio} must be over 0 and under 1")
    return VideoMAE(
        channels,
        classes,
        tubelet=tubelet,
        patch=patch,
        width=width,
        depth=depth,
        heads=heads,
        dropout=dropout,
        drop_path=drop_path,
        mask_ratio=mask_ratio,
    )
