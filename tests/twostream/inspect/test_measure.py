from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from flowcache import plugins
from flowcache.errors import UserError
from twostream import backbones, models
from twostream.inspect import measure
from twostream.nets.layers import OverBackbone


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
    with pytest.raises(UserError, match="cannot take 1 × 2 × 8 × 8"):
        measure.operations(network, (1, 2, 8, 8))


def test_operations_of_a_recurrence_and_of_attention_are_counted_by_hand():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(12, 7, batch_first=True)

        def forward(self, clip):
            return self.lstm(clip.flatten(2))[0]

    class Attentive(nn.Module):
        def forward(self, clip):
            x = clip.flatten(2)
            return functional.scaled_dot_product_attention(x, x, x)

    assert measure.operations(Recurrent().to("meta"), (5, 3, 2, 2)) == 5 * 4 * 7 * (12 + 7)
    assert measure.operations(Attentive(), (5, 3, 2, 2)) == 2 * 5 * 5 * 12


# Which layers there are, and their sizes


def test_wrappers_are_opened_and_leave_no_trace_in_names_unless_two_would_be_the_same():
    class Wrapped(OverBackbone):
        def __init__(self):
            super().__init__(backbones.create("tiny", channels=3, classes=0))
            self.fc = nn.Linear(self.backbone.width, 5)
            self.features = nn.Sequential(nn.Linear(5, 5))

        def forward(self, clip):
            return self.features(self.fc(self.backbone(clip.flatten(0, 1))))

    names = list(layers_of(lambda _: Wrapped(), (2, 3, 32, 32)))
    assert names[:2] == ["backbone.features.0", "features.3"]
    assert names[-2:] == ["fc", "features.0"]


def test_a_cell_that_runs_at_every_step_puts_out_all_of_them_and_remembers():
    class Stepwise(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(3, 4)

        def forward(self, clip):
            state = None
            for frame in clip.mean((3, 4)).unbind(1):
                state = self.cell(frame, state)
            return state

    found = layers_of(lambda _: Stepwise(), (6, 3, 8, 8))
    assert found["cell"].size == (4, 6, 1, 1)
    assert found["cell"].field == (6, 8, 8)


def test_a_layer_that_others_share_between_shapes_has_no_row():
    relu = nn.ReLU()
    found = layers_of(
        lambda _: OnClips(nn.Conv3d(3, 4, 3), relu, nn.Conv3d(4, 8, 3), relu), (8, 3, 16, 16)
    )
    assert list(found) == ["0", "2"]


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
        # Araujo, Norris, Sim 2019, table 1, at the last pooling, where the picture does not end.
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


@pytest.mark.parametrize(
    ("join", "expected"),
    [
        ("late", [(1, 3, 3), (1, 6, 6), (1, 14, 14), (20, 64, 64)]),
        ("early", [(20, 3, 3), (20, 6, 6), (20, 14, 14), (20, 64, 64)]),
        ("slow", [(3, 3, 3), (6, 6, 6), (14, 14, 14), (20, 64, 64)]),
    ],
)
def test_fields_of_the_three_fusions_are_those_of_the_textbook_example(join, expected):
    """3×3 convolution, 4×4 pooling, 3×3 convolution, and all together, on 20 × 64 × 64."""

    class Example(nn.Module):
        def __init__(self):
            super().__init__()
            conv, pool = (nn.Conv3d, nn.MaxPool3d) if join == "slow" else (nn.Conv2d, nn.MaxPool2d)
            frames = 20 if join == "early" else 1
            layers = conv(3 * frames, 12, 3, padding=1), pool(4), conv(12, 24, 3, padding=1)
            self.layers = nn.Sequential(*layers)
            self.fc = nn.Linear(24, 10)

        def forward(self, clip):
            if join == "slow":
                return self.fc(self.layers(clip.transpose(1, 2)).mean((2, 3, 4)))
            maps = self.layers(clip.flatten(*((1, 2) if join == "early" else (0, 1))))
            return self.fc(maps.mean((2, 3)).reshape(1, -1, 24).mean(1))

    # Early fusion is made for its 20 frames, and cannot be measured on fewer.
    found = layers_of(lambda _: Example(), (20, 3, 64, 64))
    assert [layer.field for layer in found.values()] == expected


def test_alexnet_sees_all_of_its_field_but_one_pixel_on_the_usual_picture():
    found = layers_of(model("single_frame", backbone="alexnet"), (1, 3, 224, 224))
    assert found["features.12"].field == (1, 194, 194)


# Fields by another way: NaN in a frame, row or column reaches exactly what sees it.


def units(output):
    """The unit in the middle of a clip's maps, vectors or tokens, and the middle of its last frame."""
    if output.ndim == 3:  # (1, N, D)
        return output[0, output.shape[1] // 2], output[0, -1]
    if output.ndim == 5:
        as_a_clip = output.shape[1] == LENGTH
        output = (output if as_a_clip else output.transpose(1, 2)).flatten(0, 1)
    middle = output if output.ndim == 2 else output[..., output.shape[2] // 2, output.shape[3] // 2]
    return middle[len(middle) // 2], middle[-1]


LENGTH = 4


@torch.no_grad()
def fields_by_nan(network, paths, clip):
    """Of each layer: the larger extents of what its two units see in time, height and width."""
    network, caught = network.double().eval(), {}
    for path in paths:

        def hook(_, __, output, path=path):
            caught[path] = output if isinstance(output, torch.Tensor) else output[0]

        network.get_submodule(path).register_forward_hook(hook)
    extents = []
    for axis in (1, 3, 4):
        seen = {path: [[], []] for path in paths}
        for place in range(clip[axis - 1]):
            values = torch.rand(1, *clip, dtype=torch.double)
            values.select(axis, place).fill_(torch.nan)
            network(values)
            for path in paths:
                for places, unit in zip(seen[path], units(caught[path]), strict=True):
                    if unit.isnan().any():
                        places.append(place)
        extents.append([max(p[-1] - p[0] + 1 for p in seen[path] if p) for path in paths])
    return list(zip(*extents, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("single_frame", {"backbone": "tiny"}),
        ("early_fusion", {"backbone": "tiny"}),
        ("late_fusion", {"backbone": "tiny"}),
        ("slow_fusion", {"backbone": "tiny"}),
        ("inflate", {"backbone": "tiny", "kernel": 5}),
        ("conv_gru", {"backbone": "tiny", "hidden": 4, "at": "2,3"}),
        ("cnn_lstm", {"backbone": "tiny", "hidden": 4}),
        ("non_local", {"at": "res4"}),
        ("timesformer", {"width": 24, "depth": 2, "heads": 2}),
        ("vivit", {"width": 24, "depth": 1, "temporal_depth": 1, "heads": 2}),
        ("mvit", {"width": 24, "depth": "4"}),
    ],
)
def test_fields_are_those_that_a_network_with_its_own_weights_has(name, options):
    side = 24 if name == "non_local" else 48
    clip = (LENGTH, 3, side, side)
    torch.manual_seed(0)
    network = plugins.create(models, name, channels=3, length=LENGTH, classes=5, **options)
    found = layers_of(model(name, **options), clip)
    found.pop("scores", None)
    known = dict(network.named_modules())
    paths = [path if path in known else f"backbone.{path}" for path in found]
    assert [layer.field for layer in found.values()] == fields_by_nan(network, paths, clip)


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
