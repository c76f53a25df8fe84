"""Attention roll-out: Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3.

How much of a transformer's answer comes from each token of its input, when each layer is taken to hand on
half of a token itself and half of what the token attends to. A network that can say so has a method
`rollout(attentions, shape)`; what those methods share stands here.

A share is a row vector over the tokens of one layer, (rows, N). It is taken back through the layers, the
last one first, so that no matrix of all tokens by all tokens is multiplied with another.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from twostream.nets.attention import Grid


class RollsOut(Protocol):
    """A network that tells where its answer comes from."""

    def rollout(self, attentions: list[Tensor], shape: torch.Size) -> Tensor:
        """The share of each token of the input in the answer: (T', H', W').

        attentions: the weights of each call of the attention in order, the mean over the heads, each
        (rows, N, N'), when one clip of the `shape` (1, T, C, H, W) is answered.
        """
        ...


class RecordedAttention(TorchFunctionMode):
    """Within this context the weights of every attention are kept, the mean over the heads."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []
        """Of each call in order, (rows, N, N')."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            query, key = args[:2]
            scaled = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
            self.weights.append(scaled.softmax(-1).mean(1))
        return func(*args, **(kwargs or {}))


def through_layer(share: Tensor, weights: Tensor) -> Tensor:
    """The share of a layer's inputs (rows, N) from that of its outputs (rows, N).

    weights: of its attention, (rows, N, N). Half goes past the attention (section 3, A = 0.5 W + 0.5 I).
    """
    return 0.5 * share + 0.5 * (share[:, None] @ weights)[:, 0]


def first_alone(rows: int, tokens: int, like: Tensor) -> Tensor:
    """The share in an answer that is read from the first token alone: (rows, N)."""
    share = like.new_zeros(rows, tokens)
    share[:, 0] = 1
    return share


def from_first(attentions: Sequence[Tensor]) -> Tensor:
    """The share of the inputs of layers (rows, N, N) in what the first token becomes: (rows, N)."""
    rows, tokens, _ = attentions[-1].shape
    share = first_alone(rows, tokens, attentions[-1])
    for weights in reversed(attentions):
        share = through_layer(share, weights)
    return share


def spread(share: Tensor, grid: Grid, stride: Grid) -> Tensor:
    """The share of the cells of a pooled grid, in equal parts to the cells of `grid` that each pools.

    share: (rows, cells of the pooled grid), whose sides are those of `grid` divided by the stride and
    rounded up → (rows, cells of `grid`).
    """
    of_axes = []
    for side, step in zip(grid, stride, strict=True):
        pooled = torch.arange(side, device=share.device) // step
        parts = functional.one_hot(pooled).to(share.dtype)
        of_axes.append(parts / parts.sum(0))
    values = torch.unflatten(share, 1, [axis.shape[1] for axis in of_axes])
    return torch.einsum("rabc,ta,hb,wc->rthw", values, *of_axes).flatten(1)
