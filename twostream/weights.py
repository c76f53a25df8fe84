"""Published weights for networks that see other channels or other classes."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from flowcache.types import FlowCacheError


class WeightsError(FlowCacheError):
    """Weights that do not fit the network; the message names the first that does not."""


def load_published(
    network: nn.Module, state: Mapping[str, Tensor], *, first_layer: str, head: str
) -> list[str]:
    """Load a state dict, adapting its first layer and leaving out its head where they differ.

    first_layer: the name of the first convolution; head: of the last linear layer. A head for another
    number of classes keeps its fresh weights. Returns what was done, one phrase each; raises
    WeightsError for anything else that is missing, unknown or of another shape.
    """
    own = network.state_dict()
    adapted, notes = dict(state), []
    first = f"{first_layer}.weight"
    if first in state and state[first].shape != own[first].shape:
        adapted[first] = convert_first_layer(state[first], own[first].shape[1])
        notes.append(f"{first_layer}: averaged over its input channels and repeated")
    for name in (f"{head}.weight", f"{head}.bias"):
        if name in state and state[name].shape != own[name].shape:
            adapted[name] = own[name]
            notes.append(f"{name}: fresh, {own[name].shape[0]} classes and not {len(state[name])}")
    for name in sorted({*own, *adapted}):
        if name.endswith("num_batches_tracked") and name in own:
            adapted.setdefault(name, own[name])  # absent from files of before 2018; never used
        if name not in adapted:
            raise WeightsError(f"the weights lack {name}: they are of another architecture")
        if name not in own:
            raise WeightsError(
                f"the weights have {name}, which the network lacks: another architecture"
            )
        if adapted[name].shape != own[name].shape:
            raise WeightsError(
                f"{name} is {tuple(adapted[name].shape)} in the weights and "
                f"{tuple(own[name].shape)} in the network: they are of another architecture or size"
            )
    network.load_state_dict(adapted)
    return [f"{len(adapted)} tensors matched", *notes]


def convert_first_layer(weight: Tensor, channels: int) -> Tensor:
    """(O, 3, …) → (O, channels, …): the mean over the input channels, repeated.

    Cross-modality initialisation, Wang et al. 2016, "Temporal Segment Networks", section 3.2.
    """
    mean = weight.mean(dim=1, keepdim=True)
    return mean.repeat_interleave(channels, dim=1)


def read_state(path: str) -> dict[str, Tensor]:
    """A state dict from a file; WeightsError where it is none. Nothing in the file is executed."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist: name a file of weights") from None
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path} holds no weights that can be read safely: {reason}") from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(
            f"{path} holds no state dict: save one with torch.save(net.state_dict(), …)"
        )
    return state
