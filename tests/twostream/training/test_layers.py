"""The rate of a layer falls with its distance from the output, as in the recipes of fine-tuning."""

import re

import pytest

from flowcache import plugins
from twostream import models
from twostream.nets.normalize import Normalized
from twostream.runs.training_options import Schedule
from twostream.training.layers import depths
from twostream.training.parameter_groups import head_names, parameter_groups


def depths_of(model, **options):
    network = plugins.create(models, model, channels=3, classes=2, **options)
    return network, depths(network, head_names(network))


def test_a_resnet_has_its_blocks_and_its_stem_as_layers():
    _, found = depths_of("resnet", length=1)
    blocks = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    for name, depth in found.items():
        block = next((b for b in blocks if f"{b}." in name), None)
        expected = 0 if "fc." in name else 8 - blocks.index(block) if block else 9
        assert depth == expected, name


@pytest.mark.parametrize("model", ["videomae", "timesformer", "vivit"])
def test_a_transformers_layers_are_numbered_as_in_beit(model):
    network, found = depths_of(model, length=16 if model == "videomae" else 4)
    fresh = head_names(network)  # what published weights lack is treated as the head
    blocks = sorted({int(m[1]) for m in map(_BLOCK.search, found) if m})
    for name, depth in found.items():
        if name in fresh:
            assert depth == 0, name
        elif match := _BLOCK.search(name):
            # Layer i + 1 of N + 2, of which the last is the head: decay ** (N + 1 − (i + 1)).
            assert depth == len(blocks) - int(match[1]), name
        elif depth > len(blocks):
            assert depth == len(blocks) + 1, name  # patches, tokens and positions
        else:
            assert depth == 1, name  # the last norm


_BLOCK = re.compile(r"blocks\.(\d+)\.")


def test_every_model_has_a_deepest_layer_first_and_none_left_out():
    for model in ("efficientnet_lite", "c3d", "i3d"):
        network, found = depths_of(model, length=16)
        names = [name for name, _ in network.named_parameters()]
        assert list(found) == names
        assert found[names[0]] == max(found.values())
        assert set(found.values()) == set(range(max(found.values()) + 1))


def test_rates_fall_by_the_factor_and_those_of_the_body_by_both():
    network, found = depths_of("resnet", length=1)
    model = Normalized(network, (1.0,) * 3)
    plan = Schedule(layer_decay=0.5, body_rate=0.25, learning_rate=2.0)
    groups = parameter_groups(model, plan)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == len(found)
    for name, parameter in network.named_parameters():
        expected = 2.0 if found[name] == 0 else 0.5 * 0.5 ** found[name]
        assert rates[id(parameter)] == pytest.approx(expected), name
