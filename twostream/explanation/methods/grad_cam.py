"""Grad-CAM: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, section 3.

Each channel of the last maps is weighted by the mean of the class's gradient over it (equation 1), and
of their sum what speaks for the class is kept (equation 2). The last maps are those of the last layer
that has more than one place in a picture, which is found by running the network.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.explanation.maps import enlarge
from twostream.explanation.torch_model import model_of, seen_by
from twostream.prediction.networks import Network

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class GradCAM:
    """For convolutional networks; one pass forward and one back."""

    def __call__(self, network: Network, clip: Clip, label: int) -> Float32:
        """See `explanation.methods`."""
        import torch

        model = model_of(network, "grad_cam")
        # cuDNN's recurrent layers have no gradient in evaluation.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            maps, gradient = _last_maps(model.network, seen_by(model, clip), label)
        weights = gradient.mean((2, 3, 4), keepdim=True)
        # Pictures that a 2-D network saw one by one follow one another in time.
        coarse = (weights * maps).sum(1).clamp_min(0).flatten(0, 1)
        shape = (clip.values.shape[1], *clip.values.shape[3:])
        return enlarge(coarse.float().cpu().numpy(), shape)


def _last_maps(network: "nn.Module", seen: "Tensor", label: int) -> "tuple[Tensor, Tensor]":
    """The last maps (N, C, T', H', W') of more than one place, and the class's gradient over them.

    N is 1, or the frames where each is a picture of its own, and then T' is 1. UserError where there are
    none.
    """
    import torch
    from torch import nn

    outputs: list[Tensor] = []

    def keep(_: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or output.ndim not in (4, 5):
            return
        places = output.shape[-1] * output.shape[-2]
        # What a pooling makes larger, so as to fit a linear layer, has no more places than before.
        before = inputs[0] if inputs and isinstance(inputs[0], torch.Tensor) else output
        enlarged = before.ndim == output.ndim and places > before.shape[-1] * before.shape[-2]
        if places > 1 and not enlarged and output.requires_grad:
            outputs.append(output)

    handles = [module.register_forward_hook(keep) for module in network.modules()]
    try:
        score = network(seen.requires_grad_())[0, label]
    finally:
        for handle in handles:
            handle.remove()
    for output in reversed(outputs):
        (gradient,) = torch.autograd.grad(score, output, retain_graph=True, allow_unused=True)
        if gradient is not None:
            # A network without a 3-D layer has no other five dimensions than (B, T, C, H, W).
            is_3d = any(isinstance(module, nn.Conv3d) for module in network.modules())
            return tuple(_in_time(each.detach(), is_3d) for each in (output, gradient))  # type: ignore[return-value]
    raise UserError(
        "grad_cam needs maps of several places, and no layer of this network has any in a clip of "
        f"{seen.shape[-1]}×{seen.shape[-2]} pixels: choose rise",
        "method",
    )


def _in_time(maps: "Tensor", is_3d: bool) -> "Tensor":
    """(N, C, H, W), (1, C, T, H, W) or (1, T, C, H, W) → (N, C, T, H, W)."""
    if maps.ndim == 4:
        return maps[:, :, None]
    return maps if is_3d else maps[0, :, :, None]


def create() -> GradCAM:
    """Grad-CAM."""
    return GradCAM()
