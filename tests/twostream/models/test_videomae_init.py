"""With what values VideoMAE begins: the authors', modeling_pretrain.py and modeling_finetune.py."""

import math

import pytest
import torch
from torch import nn

from twostream.models import videomae

WIDTH, DEPTH, HEADS = 96, 2, 6


@pytest.fixture(scope="module")
def pair():
    """A network and the pretrainer over it."""
    torch.manual_seed(0)
    network = videomae.create(
        channels=3, length=4, classes=50, patch=4, width=WIDTH, depth=DEPTH, heads=HEADS
    )
    return network, network.pretrainer()


def linears(module):
    return {name: m for name, m in module.named_modules() if isinstance(m, nn.Linear)}


def check_uniform(weight, limit):
    """Values drawn evenly between −limit and limit: their ends, mean, deviation and thirds."""
    values = weight.detach().flatten() / limit
    count = len(values)
    assert 1 - 20 / count < values.abs().max() <= 1
    assert values.mean().abs() < 5 / math.sqrt(3 * count)
    assert values.std().item() == pytest.approx(1 / math.sqrt(3), rel=5 / math.sqrt(count))
    for low in (-1, -1 / 3, 1 / 3):
        share = ((values >= low) & (values < low + 2 / 3)).float().mean().item()
        assert share == pytest.approx(1 / 3, abs=3 / math.sqrt(count))


def test_layers_of_encoder_and_decoder_are_drawn_evenly_by_glorots_rule(pair):
    network, pretrainer = pair
    drawn = linears(network.blocks) | {
        f"decoder.{n}": m for n, m in linears(pretrainer.decoder).items()
    }
    assert len(drawn) == 4 * DEPTH + 4 * 4 + 1
    for layer in drawn.values():
        out, into = layer.weight.shape
        check_uniform(layer.weight, math.sqrt(6 / (into + out)))


def test_the_map_to_the_decoder_and_the_patches_begin_as_pytorchs_layers_do(pair):
    network, pretrainer = pair
    check_uniform(pretrainer.encoder_to_decoder.weight, 1 / math.sqrt(WIDTH))
    assert pretrainer.encoder_to_decoder.bias is None
    check_uniform(network.patch_embed.proj.weight, 1 / math.sqrt(3 * 2 * 4 * 4))


def test_offsets_begin_at_zero_and_normalisations_as_the_identity(pair):
    network, pretrainer = pair
    for module in (network, pretrainer):
        for name, value in module.named_parameters():
            if "bias" in name and "patch_embed" not in name:
                assert not value.any(), name
            elif "norm" in name:
                assert torch.all(value == 1), name
        assert any("q_bias" in name for name, _ in module.named_parameters())


def test_the_last_layer_begins_a_thousandth_as_large_as_a_vits(pair):
    weight = pair[0].fc.weight.detach()
    assert weight.std().item() == pytest.approx(0.001 * 0.02, rel=0.05)
    assert weight.mean().abs() < 5 * 0.001 * 0.02 / math.sqrt(weight.numel())
    # Of a normal distribution: not all within √3 deviations, as even draws would be.
    assert weight.abs().max() > 3 * 0.001 * 0.02
    assert not pair[0].fc.bias.any()


def test_mask_tokens_are_drawn_from_a_normal_distribution_cut_at_one_deviation(pair):
    network, _ = pair
    torch.manual_seed(0)
    values = torch.cat([network.pretrainer().mask_token.detach().flatten() for _ in range(100)])
    assert len(values) == 100 * WIDTH // 2
    values = values / 0.02
    assert 0.99 < values.abs().max() <= 1
    # The variance of a standard normal distribution cut at ±1 is 1 − 2 φ(1) / (2 Φ(1) − 1).
    density = math.exp(-0.5) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * density / math.erf(1 / math.sqrt(2))
    assert values.std().item() == pytest.approx(math.sqrt(variance), rel=0.02)
    assert values.mean().abs() < 5 * math.sqrt(variance / len(values))


def test_positions_are_no_parameters(pair):
    for module in pair:
        assert not any("pos" in name for name in module.state_dict())


def test_pretraining_again_goes_on_from_what_the_network_has_learnt(pair):
    network, _ = pair
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.pretrainer()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
