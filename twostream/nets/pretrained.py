"""Published weights for networks that see other channels, other classes, or time.

A network says by its attribute `pretrained`, a `Pretrained`, how they fit it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from flowcache.errors import UserError
from twostream.nets.safetensors_file import load_safetensors
from twostream.nets.torch_file import load_torch_file

State = Mapping[str, Tensor]
"""The tensors of a network by their names."""
Colour = tuple[float, float, float]
"""A value of each of red, green and blue, where black is 0 and white is 1."""

IMAGENET_MEAN: Colour = (0.485, 0.456, 0.406)
"""Of the pictures of ImageNet, as all of torchvision's 2-D networks were trained."""

IMAGENET_STD: Colour = (0.229, 0.224, 0.225)
"""Their deviation."""

# Before all names where a network was saved as a part of another module, as trainers have it.
_WRAPPERS = ("model.", "module.", "backbone.")
# Before the network's names in a checkpoint of ours, which also has its normalisation.
_OURS = "model.network."


class WeightsError(UserError):
    """Weights that do not fit the network; the message names the first that does not."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """How published weights fit a network, which has one as its attribute `pretrained`."""

    first_layer: str
    """The name of the first layer, whose kernels are adapted to other channels than they have."""

    head: str
    """The name of the last layer, which stays fresh where it is for another number of classes."""

    frame_channels: int | None = None
    """How many channels a frame has, where the first layer sees a stack of frames as its channels."""

    prefix: str = ""
    """What stands before the published names in the network's own."""

    fresh: tuple[str, ...] = ()
    """Beginnings of the network's names that published weights may lack, such as a recurrence's."""

    unused: tuple[str, ...] = ()
    """Beginnings of names that the weights may have and the network lacks, such as their head's."""

    translate: Callable[[State], dict[str, Tensor]] | None = None
    """The same state in the network's names and shapes, where they differ in another way."""

    published: str | Callable[[], State] | None = None
    """Where the weights lie: an address, or a function that fetches them. None: nobody has any."""

    installed: bool = False
    """Whether that function reads what an installed package carries, and fetches nothing."""

    mean: Colour = IMAGENET_MEAN
    """What the weights expect to have been subtracted from RGB, where the clips are RGB."""

    std: Colour = IMAGENET_STD
    """What they expect the difference to have been divided by."""

    def under(self, prefix: str, *, head: str = "", fresh: tuple[str, ...] = ()) -> Self:
        """The same for a network that has this one under `prefix`.

        head: the name of the larger network's last layer, where it has one of its own. fresh: beginnings
            of the names of what it adds.
        """
        return replace(
            self,
            first_layer=prefix + self.first_layer,
            head=head or prefix + self.head,
            prefix=prefix + self.prefix,
            fresh=(*(prefix + name for name in self.fresh), *fresh),
            unused=tuple(prefix + name for name in self.unused),
        )


def pretrained_of(network: Any) -> Pretrained:
    """What a network says of published weights. UserError where it says nothing."""
    told = getattr(network, "pretrained", None)
    if not isinstance(told, Pretrained):
        raise UserError(
            f"{type(network).__name__} does not say how weights fit it: give it an attribute "
            "`pretrained`, see twostream.nets.pretrained.Pretrained",
            "init",
        )
    return told


def mean_and_std(network: Any) -> tuple[Colour, Colour]:
    """What a network expects of RGB: (value − mean) / std; ImageNet's where it does not say."""
    told = getattr(network, "pretrained", None)
    if isinstance(told, Pretrained):
        return told.mean, told.std
    return IMAGENET_MEAN, IMAGENET_STD


def load_published(network: Any, state: State) -> list[str]:
    """Load a state dict into a network, adapting what may differ by its `pretrained`.

    2-D kernels are inflated. The first layer's kernels are repeated for a stack of frames, or averaged
    over their input channels for anything else with another number of channels. A head for another number
    of classes keeps its fresh weights. Returns what was done, one phrase each. Raises WeightsError for
    anything else that is missing, unknown or of another shape, and then nothing has changed; UserError
    for a network without `pretrained`.
    """
    told = pretrained_of(network)
    own: dict[str, Tensor] = network.state_dict()
    given, notes = _in_own_names(told, own, state)
    fitted: dict[str, Tensor] = {}
    inflated = 0
    for name, value in given.items():
        if name not in own:
            raise WeightsError(
                f"the weights have {name}, which the network lacks: another architecture"
            )
        want = own[name].shape
        if name == f"{told.first_layer}.weight" and value.shape[1:2] != want[1:2]:
            if value.shape[1] == told.frame_channels:
                value = stack_first_layer(value, want[1] // value.shape[1])
                notes.append(
                    f"{told.first_layer}: repeated for each frame, divided by their number"
                )
            else:
                value = convert_first_layer(value, want[1])
                notes.append(f"{told.first_layer}: averaged over its input channels and repeated")
        if value.ndim == 4 and len(want) == 5:
            value = inflate(value, want[2])
            inflated += 1
        if name.rpartition(".")[0] == told.head and value.shape != want:
            notes.append(f"{name}: fresh, {want[0]} classes and not {len(value)}")
            value = own[name]
        if value.shape != want:
            raise WeightsError(
                f"{name} is {tuple(value.shape)} in the weights and {tuple(want)} in the network: "
                "they are of another architecture or size"
            )
        fitted[name] = value
    missing = [name for name in own if name not in fitted]
    fresh = [name for name in missing if name.startswith(told.fresh)]
    for name in missing:
        # Absent from files of before 2018; never used.
        if name not in fresh and not name.endswith("num_batches_tracked"):
            raise WeightsError(f"the weights lack {name}: they are of another architecture")
    if not fitted:
        raise WeightsError(
            "none of the weights is this network's: they are of another architecture"
        )
    if inflated:
        notes.append(f"{inflated} kernels inflated in time")
    if fresh:
        notes.append(f"{len(fresh)} tensors fresh, which such weights do not have: {_short(fresh)}")
    network.load_state_dict(own | fitted)
    return [f"{len(fitted)} tensors matched", *notes]


def _in_own_names(
    told: Pretrained, own: State, state: State
) -> tuple[dict[str, Tensor], list[str]]:
    """The state under the network's own names, without what it has no use for."""
    named = _unwrapped(own, state)
    if {n: v.shape for n, v in named.items()} != {n: v.shape for n, v in own.items()}:
        if told.translate:
            named = told.translate(named)
        prefixed = {told.prefix + name: value for name, value in named.items()}
        if len(prefixed.keys() & own.keys()) > len(named.keys() & own.keys()):
            named = prefixed
    left_out = [n for n in named if n not in own and n.startswith(told.unused)]
    notes = [f"{_short(left_out)}: left out, no part of this network"] if left_out else []
    return {n: v for n, v in named.items() if n not in left_out}, notes


def _unwrapped(own: State, state: State) -> dict[str, Tensor]:
    """The state without what stands before all of its names and before none of the network's own."""
    ours = any(name.startswith(_OURS) for name in state)
    named = {n.removeprefix(_OURS): v for n, v in state.items() if n.startswith(_OURS) or not ours}

    def stands_before_all(wrapper: str) -> bool:
        inside = any(name.startswith(wrapper) for name in own)
        return not inside and all(name.startswith(wrapper) for name in named)

    while named and (wrapper := next(filter(stands_before_all, _WRAPPERS), "")):
        named = {name.removeprefix(wrapper): value for name, value in named.items()}
    return named


def _short(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"


def convert_first_layer(weight: Tensor, channels: int) -> Tensor:
    """(O, 3, …) → (O, channels, …): the mean over the input channels, repeated.

    Cross-modality initialisation, Wang et al. 2016, "Temporal Segment Networks", section 3.2.
    """
    mean = weight.mean(dim=1, keepdim=True)
    return mean.repeat_interleave(channels, dim=1)


def stack_first_layer(weight: Tensor, length: int) -> Tensor:
    """(O, C, …) → (O, length × C, …): repeated for each frame of a stack and divided by the length.

    So a stack of one still frame gives what the frame gave, as an inflated kernel does in time.
    """
    return torch.cat([weight] * length, 1) / length


def inflate(weight: Tensor, length: int) -> Tensor:
    """(O, I, H, W) → (O, I, length, H, W): repeated in time and divided by the length.

    On a still clip the sum over time is the 2-D kernel's (Carreira & Zisserman 2017, section 2.4).
    """
    return weight[:, :, None].repeat(1, 1, length, 1, 1) / length


def read_state(path: str) -> dict[str, Tensor]:
    """A state dict from a file, which is PyTorch's or ends in `.safetensors`. Nothing in it is executed.

    It may also lie in PyTorch's file under `state_dict`, `model_state`, `model` or `module`. Raises
    WeightsError where there is no such file, or no state dict in it.
    """
    try:
        if Path(path).suffix == ".safetensors":
            return load_safetensors(path)[0]
        state = load_torch_file(path)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist: name a file of weights", "init") from None
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path} holds no weights that can be read safely: {reason}") from None
    for key in ("state_dict", "model_state", "model", "module"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise WeightsError(
            f"{path} holds no state dict: save one with torch.save(net.state_dict(), …)"
        )
    return state


def installed_weights(network: Any) -> State:
    """The published weights that an installed package carries. UserError where there are none."""
    told = getattr(network, "pretrained", None)
    if not isinstance(told, Pretrained) or not told.installed or told.published is None:
        raise UserError("no package carries published ones of this model", "init")
    return fetch(told.published)


def fetch(published: str | Callable[[], State]) -> State:
    """Published weights, over the network or of a package. UserError where they cannot be had."""
    try:
        if callable(published):
            return published()
        state: State = torch.hub.load_state_dict_from_url(
            published, progress=False, map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:
        name = published if isinstance(published, str) else "the published weights"
        raise WeightsError(
            f"{name} cannot be fetched ({str(error).partition(chr(10))[0]}): fetch them elsewhere and "
            "give the file",
            "init",
        ) from None
    return state
