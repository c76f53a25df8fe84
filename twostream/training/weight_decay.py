"""Which weights are decayed: the matrices and kernels, and nothing else.

Decay pulls a weight towards zero. Biases and normalisations have no reason to be small, and class tokens
and positions, which are no factors of anything, would only be forgotten.
"""

from collections.abc import Iterator

from torch import Tensor, nn


def decayed_names(network: nn.Module) -> frozenset[str]:
    """Names of the parameters, out of `network.named_parameters()`, that weight decay applies to.

    Spared are parameters of one dimension or none, those whose name ends in `bias`, and those that a
    module of the network names: timm's convention, by which a method `no_weight_decay()` returns names
    of parameters as the module itself knows them, whatever it lies in.
    """
    # By identity, and not by name: one parameter may belong to two modules, each with a name for it.
    spared = {
        parameter for module in network.modules() for parameter in _spared_by_module_itself(module)
    }
    return frozenset(
        name
        for name, parameter in network.named_parameters()
        if parameter.ndim > 1 and not name.endswith("bias") and parameter not in spared
    )


def _spared_by_module_itself(module: nn.Module) -> Iterator[Tensor]:
    """The parameters that its `no_weight_decay()` names, of those that it has.

    timm's networks also name tokens that only some of them have.
    """
    named = getattr(module, "no_weight_decay", None)
    if callable(named):
        spared = frozenset(named())
        for name, parameter in module.named_parameters(remove_duplicate=False):
            if name in spared:
                yield parameter
