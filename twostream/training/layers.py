"""The layers of a network in their order, by the names of its parameters alone."""

from torch import nn

from twostream.training.weight_decay import decayed_names


def depths(network: nn.Module, head: frozenset[str]) -> dict[str, int]:
    """How many layers stand between each parameter and the network's output: 0 in the head, then 1, 2, ….

    A block of a list (`blocks.3`, `layer1.0`, …) is one layer. Outside of blocks a layer begins with each
    module that has a kernel or a matrix. What weight decay spares there (biases, normalisations, tokens,
    positions) belongs to the layer before it, or to the first one. The order is that in which the network
    registered its modules.

    head: names of the parameters of the last layer, and of others that are to be treated alike.
    """
    kernels = decayed_names(network)
    numbers: dict[str, int] = {}
    current, number = "", 0
    for name, _ in network.named_parameters():
        if name in head:
            continue
        layer = _layer(name)
        if layer != current and (name in kernels or _is_block(layer)):
            current, number = layer, number + 1
        numbers[name] = max(number, 1)
    return {
        name: number - numbers[name] + 1 if name in numbers else 0
        for name, _ in network.named_parameters()
    }


def _layer(name: str) -> str:
    """`encoder.blocks.3.norm.weight` → `encoder.blocks.3`; `stem.bn.weight` → `stem.bn`."""
    parts = name.split(".")
    for place, part in enumerate(parts):
        if part.isdecimal():
            return ".".join(parts[: place + 1])
    return ".".join(parts[:-1])


def _is_block(layer: str) -> bool:
    return layer.rpartition(".")[2].isdecimal()
