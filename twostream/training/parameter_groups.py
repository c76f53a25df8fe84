"""The parameters of a network by what is done to them: decayed or not, in its body or in its head."""

from typing import Any

from torch import nn

from twostream.nets.normalize import Normalized
from twostream.nets.pretrained import pretrained_of
from twostream.runs.training_options import Schedule
from twostream.training.layers import depths
from twostream.training.weight_decay import decayed_names


def parameter_groups(model: Normalized, plan: Schedule) -> list[dict[str, Any]]:
    """Groups for an optimiser, each with its learning rate and weight decay.

    The head, which is the last layer and what else published weights lack, has the whole rate. All other
    layers have `plan.body_rate` of it, and this times `plan.layer_decay` for each layer that stands
    between them and the output, as in Bao et al. 2022, "BEiT" (appendix of fine-tuning recipes); those
    whose rate is 0 have no group. UserError where only a part is to have the whole rate and the network
    does not say what its head is.
    """
    plan, decayed = plan.filled({}), decayed_names(model)
    shares = _shares_of_the_rate(model, plan)
    # The order in which checkpoints of runs before 2026-11-25 have them.
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    for name, parameter in model.named_parameters():
        share = shares[name]
        if share > 0:
            groups.setdefault((share, name in decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": share * plan.learning_rate,
            "weight_decay": plan.weight_decay if decays else 0.0,
        }
        for (share, decays), parameters in groups.items()
    ]


def _shares_of_the_rate(model: Normalized, plan: Schedule) -> dict[str, float]:
    """The share of the learning rate that each parameter has, by its name."""
    if plan.body_rate == plan.layer_decay == 1:
        return {name: 1.0 for name, _ in model.named_parameters()}
    found = depths(model.network, head_names(model.network))
    return {
        f"network.{name}": plan.body_rate * plan.layer_decay**depth if depth else 1.0
        for name, depth in found.items()
    }


def freeze_body(model: Normalized) -> None:
    """Let nothing but the head learn. UserError where the network does not say what its head is."""
    head = head_names(model.network)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.removeprefix("network.") in head)


def head_names(network: nn.Module) -> frozenset[str]:
    """Names of the parameters of the last layer, and of those that published weights lack.

    UserError where the network does not say them; see `nets.pretrained`.
    """
    told = pretrained_of(network)
    beginnings = (f"{told.head}.", *told.fresh)
    return frozenset(name for name, _ in network.named_parameters() if name.startswith(beginnings))
