"""What the methods that look into a network need of it."""

import torch
from torch import Tensor, nn

from flowcache.errors import UserError
from twostream.data.clip_reader import Clip
from twostream.nets.normalize import Normalized
from twostream.prediction.networks import Network


def model_of(network: Network, method: str) -> Normalized:
    """The network's modules. UserError for an exported one, which has none."""
    model = getattr(network, "model", None)
    if not isinstance(model, Normalized):
        raise UserError(
            f"{method} looks into the layers of a network, and an exported one shows none: choose "
            "rise, or name the run's folder",
            "method",
        )
    return model


def seen_by(model: Normalized, clip: Clip) -> Tensor:
    """The clip as floats, on the device of the network and as it wants them: (B, T, C, H, W)."""
    values, mean, gain = (torch.from_numpy(part).to(model.scale.device) for part in clip)
    return model.normalise(values, mean, gain)


def is_transformer(network: nn.Module) -> bool:
    """Whether attention can be rolled out."""
    return hasattr(network, "rollout")


def has_convolutions(network: nn.Module) -> bool:
    """Whether it has maps that Grad-CAM can look at."""
    return any(isinstance(module, nn.Conv2d | nn.Conv3d) for module in network.modules())
