"""The last maps of a convolutional network and a class's gradient over them."""

from typing import TYPE_CHECKING, Any

from flowcache.errors import UserError
from twostream.data.clip_reader import Clip
from twostream.explanation.torch_model import model_of, seen_by
from twostream.prediction.networks import Network

if TYPE_CHECKING:
    from torch import Tensor, nn


def last_maps(
    network: Network, clip: Clip, label: int, method: str, places: int = 2
) -> "tuple[Tensor, Tensor]":
    """The last maps (N, C, T', H', W') and the gradient of the class's logit over them.

    N is 1, or the frames where each is a picture of its own, and then T' is 1. places: that H' and W'
    have at least; where no layer has so many, they are the last maps of more than one. UserError where
    there are none of more than one.
    """
    import torch

    model = model_of(network, method)
    # cuDNN's recurrent layers have no gradient in evaluation.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        seen = seen_by(model, clip).requires_grad_()
        passed, logits = _passed(model.network, seen)
        fine = [one for one in passed if min(one.shape[-2:]) >= places]
        for maps in (*reversed(fine), *reversed(passed)):
            (gradient,) = torch.autograd.grad(
                logits[0, label], maps, retain_graph=True, allow_unused=True
            )
            if gradient is not None:
                return _in_time(maps.detach(), model.network), _in_time(gradient, model.network)
    raise UserError(
        f"{method} needs maps of several places, and no layer of this network has any in a clip of "
        f"{seen.shape[-1]}×{seen.shape[-2]} pixels: choose rise",
        "method",
    )


def _passed(network: "nn.Module", seen: "Tensor") -> "tuple[list[Tensor], Tensor]":
    """What of a clip goes through layers in more than one place, in order, and the logits."""
    import torch

    found: list[Tensor] = []

    def places(value: Any) -> int:
        is_maps = isinstance(value, torch.Tensor) and value.ndim in (4, 5) and value.requires_grad
        return value.shape[-1] * value.shape[-2] if is_maps else 0

    def before(_: "nn.Module", inputs: Any) -> None:
        # An activation between two layers is seen by the second alone; what is padded has another size.
        if found and inputs and places(inputs[0]) and inputs[0].shape[-2:] == found[-1].shape[-2:]:
            found.append(inputs[0])

    def after(_: "nn.Module", inputs: Any, output: Any) -> None:
        # What a pooling makes larger, so as to fit a linear layer, has no more places than before.
        if places(output) > 1 and not (inputs and 0 < places(inputs[0]) < places(output)):
            found.append(output)

    handles = [
        handle
        for module in network.modules()
        for handle in (
            module.register_forward_pre_hook(before),
            module.register_forward_hook(after),
        )
    ]
    try:
        return found, network(seen)
    finally:
        for handle in handles:
            handle.remove()


def _in_time(maps: "Tensor", network: "nn.Module") -> "Tensor":
    """(N, C, H, W), (1, C, T, H, W) or (1, T, C, H, W) → (N, C, T, H, W)."""
    from torch import nn

    if maps.ndim == 4:
        return maps[:, :, None]
    # A network without a 3-D layer has no other five dimensions than (B, T, C, H, W).
    is_3d = any(isinstance(module, nn.Conv3d) for module in network.modules())
    return maps if is_3d else maps[0, :, :, None]
