import types

import pytest
import torch
from made_networks import build, on_meta
from torch import nn

from flowcache import plugins
from twostream import models
from twostream.nets.layers import OverBackbone
from twostream.nets.normalize import Normalized
from twostream.nets.pretrained import Pretrained
from twostream.runs.training_options import Schedule
from twostream.training.module import Training, own_loss
from twostream.training.weight_decay import decayed_names

# Options with which a model has other parameters.
NETWORKS = [*[(name, {}) for name in plugins.names(models)], ("vivit", {"encoder": "joint"})]


class WithToken(nn.Module):
    """A network with a token that no convention of names or shapes tells from a matrix."""

    pretrained = Pretrained(first_layer="proj", head="proj")

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.proj = nn.Linear(4, 4)
        self.norm = nn.LayerNorm((3, 4))

    def no_weight_decay(self):
        return {"token", "norm.weight", "dist_token"}  # timm's networks name what they lack, too


def names(network):
    return {name for name, _ in network.named_parameters()}


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=str)
def test_of_every_model_the_weights_of_its_layers_are_decayed_and_nothing_else(name, options):
    network = on_meta(build, name, **options)
    layers = nn.Linear, nn.Conv2d, nn.Conv3d, nn.RNNBase
    weights = {
        f"{path}.{parameter}"
        for path, module in network.named_modules()
        if isinstance(module, layers)
        for parameter, _ in module.named_parameters(recurse=False)
        if parameter.startswith("weight")
    }
    assert decayed_names(network) == weights
    assert weights < names(network)


@pytest.mark.parametrize(
    ("name", "options", "tokens"),
    [
        ("vivit", {"encoder": "joint"}, {"cls_token", "pos_embed"}),
        ("vivit", {}, {"cls_token", "pos_embed", "time_token", "time_embed"}),
        ("timesformer", {}, {"cls_token", "pos_embed", "time_embed"}),
        ("videomae", {}, set()),
        (
            "mvit",
            {},
            {
                f"pos_encoding.{part}"
                for part in ("class_token", "class_pos", "spatial_pos", "temporal_pos")
            },
        ),
        ("resnet", {}, set()),
        ("c3d", {}, set()),
        ("cnn_lstm", {}, set()),
    ],
)
def test_all_that_is_spared_are_tokens_positions_offsets_and_normalisations(name, options, tokens):
    network = on_meta(build, name, **options)
    norms = nn.LayerNorm, nn.modules.batchnorm._BatchNorm
    scales = {f"{path}.weight" for path, m in network.named_modules() if isinstance(m, norms)}
    offsets = {n for n in names(network) if "bias" in n.rpartition(".")[2]}
    assert names(network) - decayed_names(network) == tokens | scales | offsets


def test_the_pretrainers_mask_token_is_spared_and_what_it_shares_is_decayed_as_ever():
    network = on_meta(build, "videomae")
    pretrainer = network.pretrainer()
    decayed = decayed_names(pretrainer)
    assert "mask_token" not in decayed
    assert {"encoder_to_decoder.weight", "decoder.head.weight"} < decayed
    shared = {f"encoder.{name}" for name in decayed_names(network) if name != "fc.weight"}
    assert {name for name in decayed if name.startswith("encoder.")} == shared


def test_a_recurrences_matrices_are_decayed_and_its_offsets_are_not():
    names_of_lstm = {
        f"lstm.{part}_{gate}_l0" for part in ("weight", "bias") for gate in ("ih", "hh")
    }
    decayed = decayed_names(on_meta(build, "cnn_lstm"))
    assert decayed & names_of_lstm == {"lstm.weight_ih_l0", "lstm.weight_hh_l0"}


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda network: network, ""),
        (lambda network: Normalized(network, (1.0,)), "network."),
        (
            lambda network: Normalized(OverBackbone(network), (1.0,)),
            "network.backbone.",
        ),
        (lambda network: nn.Sequential(nn.ReLU(), nn.Sequential(network)), "1.0."),
    ],
    ids=["itself", "in the door", "as a backbone", "in a sequence"],
)
def test_what_a_module_names_is_spared_wherever_it_lies(wrap, path):
    assert decayed_names(wrap(WithToken())) == {f"{path}proj.weight"}


def test_a_parameter_that_two_modules_share_is_spared_if_either_says_so():
    inner = WithToken()
    outer = nn.Module()
    outer.mine = inner.token  # found by this name first
    outer.inner = inner
    assert "mine" in names(outer)
    assert decayed_names(outer) == {"inner.proj.weight"}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_without_gradients_a_step_shrinks_what_is_decayed_and_moves_nothing_else(optimizer):
    network = Normalized(WithToken(), (1.0,))
    schedule = Schedule(epochs=1, optimizer=optimizer, learning_rate=0.1, weight_decay=0.5)
    training = Training(network, own_loss, schedule, lambda _: None)
    training.trainer = types.SimpleNamespace(estimated_stepping_batches=1)
    stepper = training.configure_optimizers()["optimizer"]
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    stepper.step()
    for name, value in network.named_parameters():
        factor = 1 - 0.1 * 0.5 if name == "network.proj.weight" else 1
        torch.testing.assert_close(value, factor * before[name])
