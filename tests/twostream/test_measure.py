from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from flowcache import plugins
from flowcache.types import FlowCacheError
from twostream import backbones, measure, models
from twostream.layers import OverBackbone


class OnClips(nn.Module):
    """A 3-D network, (B, C, T, H, W), behind the door of a clip."""

    def __init__(self, *layers):
        super().__init__()
        self.network = nn.Sequential(*layers)

    def forward(self, clip):
        return self.network(clip.transpose(1, 2))


class OnFrames(OnClips):
    """A 2-D network for each frame by itself."""

    def forward(self, clip):
        return self.network(clip.flatten(0, 1))


class Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.layers(x)


def layers_of(make, clip):
    """By name, of what `make` builds on the meta device."""

    def build(length):
        with torch.device("meta"):
            return make(length)

    return {layer.name: layer for layer in measure.layers(build, clip)}


def field_of(make, clip):
    """Of the last layer but the whole network, which may take a mean."""
    return list(layers_of(make, clip).values())[-1].field


def model(name, **options):
    def make(length):
        # Outside `layers_of`'s device, since some look at the weights that they begin with.
        with torch.device("cpu"):
            network = plugins.create(models, name, channels=3, length=length, classes=5, **options)
        return network.to("meta")

    return make


# Costs


def test_parameters_are_counted_once_and_buffers_are_not():
    conv, norm, linear = nn.Conv2d(3, 8, 5), nn.BatchNorm2d(8), nn.Linear(8, 4)
    network = nn.Sequential(conv, norm, linear, linear)
    assert measure.parameters(network) == (3 * 8 * 25 + 8) + 2 * 8 + (8 * 4 + 4)


def test_operations_of_a_convolution_and_a_linear_layer_are_counted_by_hand():
    with torch.device("meta"):
        network = OnClips(
            nn.Conv3d(3, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 2 * 64, 5),
        )
    convolution = 8 * (2 * 8 * 8) * (3 * 27)
    assert measure.operations(network, (4, 3, 16, 16)) == convolution + 8 * 2 * 64 * 5


def test_operations_of_frames_folded_into_the_batch_count_every_frame():
    with torch.device("meta"):
        network = OnFrames(nn.Conv2d(2, 4, 1))
    assert measure.operations(network, (6, 2, 10, 10)) == 6 * 100 * 2 * 4


def test_a_clip_that_a_network_cannot_take_is_named():
    with torch.device("meta"):
        network = OnFrames(nn.Conv2d(3, 4, 1))
    with pytest.raises(FlowCacheError, match="cannot take 1 × 2 × 8 × 8"):
        measure.operations(network, (1, 2, 8, 8))


# Sizes


def test_sizes_are_those_that_the_network_puts_out():
    found = layers_of(
        lambda _: OnClips(
            nn.Conv3d(3, 8, 3, stride=(1, 2, 2), padding=1),
            nn.ReLU(),
            nn.MaxPool3d(2),
            nn.Flatten(),
            nn.Linear(8 * 2 * 4 * 4, 5),
        ),
        (4, 3, 16, 16),
    )
    sizes = {name: layer.size for name, layer in found.items()}
    assert sizes["0"] == (8, 4, 8, 8)
    assert "1" not in sizes  # a ReLU
    assert sizes["2"] == (8, 2, 4, 4)
    assert sizes["4"] == (5, 1, 1, 1)


def test_frames_in_the_batch_are_time():
    found = layers_of(
        lambda _: OnFrames(
            nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
        ),
        (6, 3, 16, 16),
    )
    assert found["0"].size == (8, 6, 14, 14)
    assert found["3"].size == (5, 6, 1, 1)


def test_tokens_are_their_width_and_how_many():
    found = layers_of(model("videomae", width=48, depth=2, heads=3), (4, 3, 32, 32))
    assert found["blocks.0"].size == (48, 2 * 2 * 2)
    assert found["blocks.0"].field == (4, 32, 32)


# Receptive fields: Araujo, Norris, Sim 2019, equation 2: r += (k − 1) d j, j *= s


def by_the_book(stack):
    field, jump = 1, 1
    for kernel, stride, dilation in stack:
        field += (kernel - 1) * dilation * jump
        jump *= stride
    return field


KERNELS = st.tuples(st.sampled_from([1, 2, 3, 5]), st.integers(1, 2), st.integers(1, 2))


@settings(max_examples=15, deadline=None)
@given(st.lists(KERNELS, min_size=1, max_size=4))
def test_fields_of_convolutions_in_space_grow_by_the_book(stack):
    expected = by_the_book(stack)
    convolutions = [nn.Conv2d(3, 3, k, s, dilation=d) for k, s, d in stack]
    found = field_of(lambda _: OnFrames(*convolutions), (1, 3, 120, 120))
    assert found == (1, expected, expected)


@settings(max_examples=15, deadline=None)
@given(st.lists(KERNELS, min_size=1, max_size=3))
def test_fields_of_convolutions_in_time_grow_by_the_book(stack):
    convolutions = [nn.Conv3d(2, 2, (k, 1, 1), (s, 1, 1), dilation=(d, 1, 1)) for k, s, d in stack]
    found = field_of(lambda _: OnClips(*convolutions), (64, 2, 8, 8))
    assert found == (by_the_book(stack), 1, 1)


@pytest.mark.parametrize("pool", [nn.MaxPool3d, nn.AvgPool3d])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1)])
def test_fields_of_poolings_grow_by_the_book(pool, kernel, stride):
    stack = [(3, 1, 1), (kernel, stride, 1), (3, 1, 1), (kernel, stride, 1)]

    def make(_):
        return OnClips(
            nn.Conv3d(3, 4, 3),
            nn.ReLU(),
            pool(kernel, stride),
            nn.Conv3d(4, 4, 3),
            nn.BatchNorm3d(4),
            nn.ReLU(),
            pool(kernel, stride),
        )

    expected = by_the_book(stack)
    assert field_of(make, (32, 3, 40, 40)) == (expected, expected, expected)


def test_the_field_of_a_residual_block_is_its_widest_branch():
    def make(_):
        return OnFrames(
            Residual(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 5, padding=2))
        )

    assert field_of(make, (1, 3, 32, 32)) == (1, 7, 7)


def test_a_field_ends_where_the_clip_ends():
    def make(_):
        return OnClips(nn.Conv3d(3, 4, 9, padding=4), nn.Conv3d(4, 4, 9, padding=4))

    assert field_of(make, (8, 3, 16, 16)) == (8, 16, 16)


def test_dead_units_and_cancelling_weights_hide_nothing():
    class Difference(nn.Module):
        def forward(self, clip):
            x = clip.transpose(1, 2)
            return functional.relu(self.conv(x)).mean((2, 3, 4))

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(1, 2, (2, 1, 1))
            with torch.no_grad():
                self.conv.weight.zero_()
                self.conv.bias.fill_(-100)

    assert layers_of(lambda _: Difference(), (4, 1, 8, 8))["conv"].field == (2, 1, 1)


@pytest.mark.parametrize(
    ("backbone", "layer", "field"),
    [
        # Araujo, Norris, Sim 2019, table 1, at the last pooling.
        ("alexnet", "features.12", 195),
        ("vgg16", "features.30", 212),
    ],
)
def test_fields_of_known_networks_are_the_published_ones(backbone, layer, field):
    class Bare(OverBackbone):
        def forward(self, clip):
            return self.backbone(clip.flatten(0, 1))

    def make(_):
        return Bare(backbones.create(backbone, channels=3, classes=None))

    assert layers_of(make, (1, 3, 288, 288))[layer].field == (1, field, field)


# The models


def fields_in_time(name, *, length=10, **options):
    found = layers_of(model(name, **options), (length, 3, 64, 64))
    return {layer: found[layer].field[0] for layer in found}


def test_early_fusion_sees_all_frames_from_its_first_layer_on():
    assert set(fields_in_time("early_fusion", backbone="tiny").values()) == {10}


def test_a_single_frame_is_seen_until_the_scores_are_averaged():
    seen = fields_in_time("single_frame", backbone="tiny")
    assert seen.pop("scores") == 10
    assert set(seen.values()) == {1}


@pytest.mark.parametrize("head", ["fc", "pool"])
def test_late_fusion_sees_one_frame_in_its_convolutions_and_all_in_its_head(head):
    seen = fields_in_time("late_fusion", backbone="tiny", head=head)
    for layer, frames in seen.items():
        assert frames == (1 if layer.startswith(("features", "avgpool")) else 10)


def test_slow_fusion_sees_more_frames_layer_by_layer():
    seen = fields_in_time("slow_fusion", backbone="tiny", length=16)
    convolutions = [frames for layer, frames in seen.items() if layer.startswith("features")]
    assert convolutions[0] == 3
    assert all(a <= b for a, b in pairwise(convolutions))
    assert len(set(convolutions)) > 3
    assert seen["fc"] == 16


@pytest.mark.parametrize("name", ["cnn_lstm", "conv_gru"])
def test_what_is_recurrent_sees_the_whole_clip_at_its_end(name):
    def build(length):
        return model(name, backbone="tiny", hidden=4)(length)

    assert measure.temporal_field(build, (6, 3, 64, 64)) == (6, 6)


def test_the_last_map_may_see_less_than_the_scores():
    assert measure.temporal_field(model("mc3"), (16, 3, 112, 112)) == (11, 16)
