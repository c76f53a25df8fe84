import itertools
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from twostream.models import i3d
from twostream.nets.pretrained import load_published


def build(channels=3, classes=400, seed=0, **options):
    torch.manual_seed(seed)
    return i3d.create(channels=channels, length=64, classes=classes, **options)


def with_statistics(network):
    """Normalisations that do something, as after training."""
    torch.manual_seed(5)
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif "bn." in name and value.ndim == 1:
            value.uniform_(0.3, 0.7)
    return network.eval()


@pytest.mark.parametrize(
    ("channels", "parameters", "gmac"), [(3, 12_697_264, 111.2), (2, 12_675_312, 102.3)]
)
def test_size_and_cost_are_the_published_ones(channels, parameters, gmac):
    with torch.device("meta"):
        model, clip = build(channels).eval(), torch.empty(1, 64, channels, 224, 224)
    assert sum(p.numel() for p in model.parameters()) == parameters
    with FlopCounterMode(display=False) as counter:
        model(clip)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, rel=0.01)


def published_shapes(classes):
    """Names and shapes as in the public conversions of the authors' weights."""
    shapes = {}

    def unit(name, out, width, side):
        shapes[f"{name}.conv3d.weight"] = (out, width, side, side, side)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (out,)
        shapes[f"{name}.bn.num_batches_tracked"] = ()

    unit("Conv3d_1a_7x7", 64, 3, 7)
    unit("Conv3d_2b_1x1", 64, 64, 1)
    unit("Conv3d_2c_3x3", 192, 64, 3)
    width = 192
    for name, b0, b1a, b1b, b2a, b2b, b3b in (
        ("3b", 64, 96, 128, 16, 32, 32),
        ("3c", 128, 128, 192, 32, 96, 64),
        ("4b", 192, 96, 208, 16, 48, 64),
        ("4c", 160, 112, 224, 24, 64, 64),
        ("4d", 128, 128, 256, 24, 64, 64),
        ("4e", 112, 144, 288, 32, 64, 64),
        ("4f", 256, 160, 320, 32, 128, 128),
        ("5b", 256, 160, 320, 32, 128, 128),
        ("5c", 384, 192, 384, 48, 128, 128),
    ):
        at = f"Mixed_{name}"
        unit(f"{at}.b0", b0, width, 1)
        unit(f"{at}.b1a", b1a, width, 1)
        unit(f"{at}.b1b", b1b, b1a, 3)
        unit(f"{at}.b2a", b2a, width, 1)
        unit(f"{at}.b2b", b2b, b2a, 3)
        unit(f"{at}.b3b", b3b, width, 1)
        width = b0 + b1b + b2b + b3b
    shapes["logits.conv3d.weight"] = (classes, 1024, 1, 1, 1)
    shapes["logits.conv3d.bias"] = (classes,)
    return shapes


def test_names_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        own = {name: tuple(value.shape) for name, value in build().state_dict().items()}
    assert own == published_shapes(400)


def windows(size, kernel, stride):
    """Where each window of TensorFlow's "SAME" lies: ⌈size / stride⌉ of them, centred on the input."""
    count = math.ceil(size / stride)
    start = -(max((count - 1) * stride + kernel - size, 0) // 2)
    return [
        [i for i in range(start + n * stride, start + n * stride + kernel) if 0 <= i < size]
        for n in range(count)
    ], start


def slow(x, kernel, stride, read):
    """`read(values, where in the kernel)` of each window of (C, T, H, W), voxel by voxel."""
    axes = [windows(n, k, s) for n, k, s in zip(x.shape[1:], kernel, stride, strict=True)]
    counts = [len(found) for found, _ in axes]
    cells = []
    for place in itertools.product(*map(range, counts)):
        inside = [axes[a][0][n] for a, n in enumerate(place)]
        first = [axes[a][1] + n * stride[a] for a, n in enumerate(place)]
        values = x[:, inside[0]][:, :, inside[1]][:, :, :, inside[2]]
        at = [[i - f for i in found] for found, f in zip(inside, first, strict=True)]
        cells.append(read(values, at))
    return torch.stack(cells, 1).unflatten(1, counts)


def slow_unit(unit, x, kernel, stride):
    """Convolution, normalisation and ReLU from the weights alone."""
    weight, bn = unit.conv3d.weight, unit.bn

    def read(values, at):
        part = weight[:, :, at[0]][:, :, :, at[1]][:, :, :, :, at[2]]
        return (part * values).sum((1, 2, 3, 4))

    y = slow(x, (kernel,) * 3, (stride,) * 3, read)
    scale = bn.weight / (bn.running_var + 1e-3).sqrt()
    y = (y - bn.running_mean[:, None, None, None]) * scale[:, None, None, None]
    return (y + bn.bias[:, None, None, None]).clamp(min=0)


def slow_pool(x, kernel, stride):
    return slow(x, kernel, stride, lambda values, _: values.amax((1, 2, 3)))


SIZES = pytest.mark.parametrize("size", [(4, 6, 8), (5, 7, 9), (4, 7, 5), (1, 2, 3), (1, 1, 1)])


@SIZES
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 1), (1, 1)])
def test_a_unit_is_convolution_normalisation_and_relu_with_same_padding(size, kernel, stride):
    unit = with_statistics(i3d.Unit3d(2, 3, kernel, stride))
    x = torch.randn(2, *size)
    with torch.no_grad():
        expected = slow_unit(unit, x, kernel, stride)
        torch.testing.assert_close(unit(x[None])[0], expected, rtol=1e-4, atol=1e-5)


@SIZES
@pytest.mark.parametrize(
    ("kernel", "stride"),
    [
        ((1, 3, 3), (1, 2, 2)),
        ((3, 3, 3), (2, 2, 2)),
        ((2, 2, 2), (2, 2, 2)),
        ((3, 3, 3), (1, 1, 1)),
    ],
)
def test_a_pooling_is_the_largest_of_each_window_with_same_padding(size, kernel, stride):
    x = torch.rand(2, *size)
    pooled = i3d.SamePool3d(kernel, stride)(x[None])[0]
    assert torch.equal(pooled, slow_pool(x, kernel, stride))


def test_a_mixed_block_is_its_four_branches_side_by_side():
    torch.manual_seed(1)
    block = with_statistics(i3d.Mixed(5, (4, 3, 6, 2, 3, 2)))
    x = torch.rand(5, 3, 4, 5)
    with torch.no_grad():
        expected = torch.cat(
            [
                slow_unit(block.b0, x, 1, 1),
                slow_unit(block.b1b, slow_unit(block.b1a, x, 1, 1), 3, 1),
                slow_unit(block.b2b, slow_unit(block.b2a, x, 1, 1), 3, 1),
                slow_unit(block.b3b, slow_pool(x, (3, 3, 3), (1, 1, 1)), 1, 1),
            ]
        )
        torch.testing.assert_close(block(x[None])[0], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_its_units_and_poolings_are_exported_and_one_graph_to_the_compiler():
    torch.manual_seed(1)
    stem = i3d.Unit3d(3, 5, 7, 2), i3d.SamePool3d((1, 3, 3), (1, 2, 2))
    mixed = i3d.Mixed(5, (4, 3, 6, 2, 3, 2))
    layers = with_statistics(torch.nn.Sequential(*stem, mixed, i3d.AveragePool3d()))
    x = torch.randn(1, 3, 5, 14, 19)
    torch.compiler.reset()
    for changed in (
        torch.export.export(layers, (x,)).module(),
        torch.compile(layers, backend="eager", fullgraph=True),
    ):
        torch.testing.assert_close(changed(x), layers(x), rtol=1e-4, atol=1e-4)


def test_scores_are_the_mean_over_time_of_those_of_two_frames_each():
    model = with_statistics(build(classes=6))
    features = []
    model.Mixed_5c.register_forward_hook(lambda _, __, output: features.append(output))
    with torch.no_grad():
        logits = model(torch.randn(1, 24, 3, 48, 64))
    maps = features[0]
    assert maps.shape == (1, 1024, 3, 2, 2)
    weight, bias = model.logits.conv3d.weight.flatten(1), model.logits.conv3d.bias
    pairs = [maps[0, :, t : t + 2].mean((1, 2, 3)) for t in range(2)]
    expected = sum(weight @ pair + bias for pair in pairs) / 2
    torch.testing.assert_close(logits[0], expected, rtol=1e-4, atol=1e-5)


def test_at_the_papers_size_the_last_pooling_is_2_by_7_by_7():
    shapes = []
    with torch.device("meta"):
        model = build().eval()
        for layer in (model.Mixed_5c, model.avg_pool):
            layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape)))
        model(torch.empty(1, 64, 3, 224, 224))
    assert shapes == [(1, 1024, 8, 7, 7), (1, 1024, 7, 1, 1)]


@pytest.mark.parametrize(
    ("length", "height", "width"), [(8, 64, 64), (1, 64, 64), (9, 47, 90), (2, 1, 1)]
)
def test_no_clip_is_too_short_or_too_small(length, height, width):
    with torch.no_grad():
        logits = build(classes=5).eval()(torch.randn(1, length, 3, height, width))
    assert logits.shape == (1, 5)
    assert torch.isfinite(logits).all()


def test_a_flow_network_takes_the_weights_of_one_for_frames():
    state = build(seed=1).state_dict()
    model = build(channels=2, classes=5, seed=2)
    notes = load_published(model, state)
    own, first = model.state_dict(), "Conv3d_1a_7x7.conv3d.weight"
    for channel in range(2):
        torch.testing.assert_close(own[first][:, channel], state[first].mean(1))
    for name, value in state.items():
        if name != first and not name.startswith("logits"):
            assert torch.equal(own[name], value), name
    assert any("logits.conv3d.weight" in note and "400" in note for note in notes)


def test_a_flow_networks_weights_fit_as_they_are():
    state = build(channels=2, seed=1).state_dict()
    assert len(load_published(build(channels=2, seed=2), state)) == 1
