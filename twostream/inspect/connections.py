"""Which values of a clip reach a unit of a network: the same for every weight it may learn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only


class Connections(TorchFunctionMode):
    """Runs a network so that a unit's gradient is other than zero exactly where the clip reaches it.

    A network's own gradient hides connections: a ReLU is off, another unit is the largest, weights
    cancel. So every weight is positive here, what switches is smooth, and a convolution is the mean over
    its window, which is also a thousand times less work. Functions are replaced and not modules, so it
    does not matter how a network calls them. Values are doubles: the thinnest path through a hundred
    layers stays within their range. Masks that a network keeps as buffers are not seen.

    The other way, a clip with NaN in one place, needs a pass for each frame, row and column.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        args, kwargs = tree_map_only(Tensor, _positive, (args, dict(kwargs or {})))
        return _INSTEAD.get(func.__name__, func)(*args, **kwargs)


def _positive(tensor: Tensor) -> Tensor:
    """A weight on the meta device → the mean over its inputs, in no memory; any other value stays."""
    if not tensor.is_meta:
        return tensor
    value = 1 / tensor[0].numel() if tensor.is_floating_point() and tensor.ndim else 0
    return torch.full((), value, dtype=tensor.dtype, device="cpu").expand(tensor.shape)


def _identity(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _wide(one: Tensor, dim: int, channels: int) -> Any:
    """A value whose channels are all the same one; it remembers that one."""
    wide: Any = one.expand(*one.shape[:dim], channels, *one.shape[dim + 1 :])
    wide.one, wide.channels_dim = one, dim
    return wide


def _one(x: Any, dim: int) -> Tensor:
    """The mean over the channels, the dimension `dim`."""
    one: Tensor = x.one if getattr(x, "channels_dim", None) == dim else x.mean(dim, keepdim=True)
    return one


def _once(func: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What treats all channels in the same way is computed once where they are the same."""

    def run(*args: Any, **how: Any) -> Any:
        tensors = [a for a in args if isinstance(a, Tensor)]
        alike = {(t.shape, getattr(t, "channels_dim", None)) for t in tensors}
        (shape, dim), *others = alike
        if dim is None or others:
            return func(*args, **how)
        y = func(*(getattr(a, "one", a) for a in args), **how)
        # Padding may add channels, which are others.
        return _wide(y, dim, shape[dim]) if y.shape[dim] == 1 else func(*args, **how)

    return run


def _normalized(x: Tensor, *_: Any, **__: Any) -> Any:
    # Over the whole clip, so that values neither grow nor vanish; statistics are no connection.
    return _once(torch.div)(x, float(getattr(x, "one", x).detach().abs().mean()))


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    convolve = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}[weight.ndim]
    window = weight.shape[2:]
    kernel = x.new_full((groups, 1, *window), 1 / window.numel())
    means = _one(x, 1) if groups == 1 else x.reshape(len(x), groups, -1, *x.shape[2:]).mean(2)
    y = convolve(means, kernel, None, stride, padding, dilation, groups)
    if groups == 1:
        return _wide(y, 1, len(weight))
    return y.repeat_interleave(len(weight) // groups, 1)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    return _wide(_one(x, x.ndim - 1), x.ndim - 1, len(weight))


def _softmax(x: Tensor, dim: int, *_: Any, **__: Any) -> Tensor:
    # Scores of hundreds would leave all but the largest share at zero.
    return torch.softmax(functional.softsign(x), dim)


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **how: Any
) -> Tensor:
    masked = attn_mask is not None and attn_mask.dtype == torch.bool
    if masked or how.get("is_causal"):
        return functional.scaled_dot_product_attention(query, key, value, attn_mask, **how)
    everything = key.mean((-2, -1), keepdim=True) + value.mean((-2, -1), keepdim=True)
    return (query.mean(-1, keepdim=True) + everything).expand(*query.shape[:-1], value.shape[-1])


def _product(x: Tensor, y: Tensor) -> Tensor:
    constant = not (x.requires_grad and y.requires_grad)
    if constant or x.ndim < 2 or y.ndim < 2 or (x == 0).any():  # zeros: what attention must not see
        return x @ y
    return x.mean(-1, keepdim=True) + y.mean(-2, keepdim=True)


def _pooling(maximum: Callable[..., Tensor], average: Callable[..., Tensor]) -> Callable[..., Any]:
    """The mean over the windows of a pooling, padded so that all are whole."""

    def pool(
        x: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Tensor:
        shape = maximum(
            x.detach().to("meta"), kernel_size, stride, padding, dilation, ceil_mode
        ).shape[2:]
        many = [_each(v, shape) for v in (kernel_size, stride or kernel_size, padding, dilation)]
        windows, pads = [], []
        for side, out, k, s, p, d in zip(x.shape[2:], shape, *many, strict=True):
            windows.append(d * (k - 1) + 1)
            pads.append((p, (out - 1) * s + windows[-1] - p - side))
        padded = functional.pad(x, [n for pair in reversed(pads) for n in pair])
        return average(padded, windows, many[1])

    return _once(pool)


def _each(value: Any, axes: Sequence[int]) -> list[int]:
    return [value] * len(axes) if isinstance(value, int) else list(value)


_INSTEAD: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        ("relu", "relu_", "relu6", "gelu", "silu", "leaky_relu", "hardswish"), _identity
    ),
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "rms_norm"), _normalized),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    "linear": _linear,
    "softmax": _softmax,
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("matmul", "bmm"), _product),
    "max_pool1d": _pooling(functional.max_pool1d, functional.avg_pool1d),
    "max_pool2d": _pooling(functional.max_pool2d, functional.avg_pool2d),
    "max_pool3d": _pooling(functional.max_pool3d, functional.avg_pool3d),
    "pad": _once(functional.pad),
    "adaptive_max_pool2d": functional.adaptive_avg_pool2d,
    "adaptive_max_pool3d": functional.adaptive_avg_pool3d,
    # A sum written in place has no room in values that are one number in memory.
    **dict.fromkeys(("add", "add_"), _once(torch.add)),
    **dict.fromkeys(("mul", "mul_"), _once(torch.mul)),
}
