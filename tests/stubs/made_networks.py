"""Networks as the tests of single models need them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from flowcache import plugins
from twostream import models

SMALL: list[tuple[str, Any]] = [
    ("backbone", "tiny"),
    ("width", 48),
    ("depth", 2),
    ("depth", "8"),
    ("temporal_depth", 2),
    ("heads", 3),
]
"""For models that can be made smaller: options where they are there and take such values."""


def options_of(name: str) -> Mapping[str, inspect.Parameter]:
    """All options of a model."""
    return inspect.signature(plugins.module(models, name).create, eval_str=True).parameters


def small_options(name: str) -> dict[str, Any]:
    """Those that make a model smaller."""
    known = options_of(name)
    return {
        key: value
        for key, value in SMALL
        if key in known
        and (known[key].annotation is type(value) or value in get_args(known[key].annotation))
    }


def build(
    name: str,
    *,
    channels: int = 3,
    length: int = 8,
    classes: int = 5,
    seed: int = 0,
    **options: Any,
) -> Any:
    """A model with weights drawn by the seed."""
    torch.manual_seed(seed)
    return plugins.create(
        models, name, channels=channels, length=length, classes=classes, **options
    )


def on_meta(create: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A network in evaluation that computes shapes alone."""
    with torch.device("meta"):
        return create(*args, **options).eval()


def unset(create: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A network in evaluation for weights to be loaded: drawing others before would take longer.

    All values are −1, so that what was not loaded is seen.
    """
    network = on_meta(create, *args, **options).to_empty(device="cpu")
    for value in network.state_dict().values():
        value.fill_(-1)
    return network


def numbered(create: Callable[..., Any], *args: Any, **options: Any) -> dict[str, torch.Tensor]:
    """A network's weights, no two tensors alike and made faster than drawn; they compute nothing."""
    state = on_meta(create, *args, **options).to_empty(device="cpu").state_dict()
    for start, value in enumerate(state.values()):
        torch.arange(start, start + value.numel(), out=value.view(-1))
    return dict(state)


def drawn(*shape: int, seed: int = 1) -> Any:
    """Values of a normal distribution."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def stirred(network: Any, by: float = 0.3) -> Any:
    """The network in evaluation, all weights moved, so that no zero and no one hides a mistake."""
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        parameter += by * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def with_statistics(network: Any, seed: int = 5) -> Any:
    """The network in evaluation, with normalisations that do something, as after training."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.0)
                module.bias.uniform_(-0.1, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.5)
    return network.eval()


def parameters(network: nn.Module) -> int:
    """How many numbers are learnt."""
    return sum(p.numel() for p in network.parameters())


def gmac(network: nn.Module, *shape: int) -> float:
    """Billions of multiplications with addition, for a network on the meta device."""
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.empty(*shape, device="meta"))
    return counter.get_total_flops() / 2e9
