"""The networks of two-stream papers: a frame, or a stack of flow fields, through a 2-D network."""

import pytest
import torch
from made_networks import build, gmac, on_meta, parameters, with_statistics

from twostream import backbones
from twostream.nets.layers import ClipSizeError
from twostream.nets.pretrained import load_published


@pytest.mark.parametrize(
    ("channels", "length", "count", "cost"),
    [(3, 1, 90_627_813, 1.66), (2, 10, 90_707_781, 2.61)],
)
def test_size_and_cost_of_the_two_streams_are_the_published_ones(channels, length, count, cost):
    with torch.device("meta"):
        model = build("cnn_m_2048", channels=channels, length=length, classes=101)
    assert parameters(model) == count
    assert gmac(model, 1, length, channels, 224, 224) == pytest.approx(cost, rel=0.01)


def test_the_convolutions_are_those_of_the_papers_figure_1():
    with torch.device("meta"):
        model = build("cnn_m_2048", channels=2, length=10, classes=101)
        convolutions = [
            (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
            for m in model.modules()
            if isinstance(m, torch.nn.Conv2d)
        ]
        linear = [m.out_features for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert convolutions == [
        (20, 96, 7, 2),
        (96, 256, 5, 2),
        (256, 512, 3, 1),
        (512, 512, 3, 1),
        (512, 512, 3, 1),
    ]
    assert linear == [4096, 2048, 101]


@pytest.mark.parametrize("depth", ["18", "34", "50"])
def test_a_stack_of_n_frames_adds_to_a_resnet_n_times_the_first_layers_kernels(depth):
    with torch.device("meta"):
        flow = build("resnet", channels=2, length=10, depth=depth)
        frame = build("resnet", channels=3, length=1, depth=depth)
    assert parameters(flow) - parameters(frame) == (20 - 3) * 64 * 7 * 7


@pytest.mark.parametrize(("name", "backbone"), [("resnet", "resnet18"), ("tiny", "tiny")])
def test_a_spatial_stream_of_one_frame_is_the_2d_network_on_its_weights(name, backbone):
    torch.manual_seed(1)
    source = with_statistics(backbones.create(backbone, channels=3, classes=5))
    model = build(name, length=1, seed=2).eval()
    assert len(load_published(model, source.state_dict())) == 1
    clip = torch.randn(2, 1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(clip), source(clip[:, 0]))


@pytest.mark.parametrize(("name", "backbone"), [("resnet", "resnet18"), ("tiny", "tiny")])
def test_from_a_spatial_streams_weights_a_temporal_one_sees_the_sum_of_its_fields(name, backbone):
    """Each field begins with the mean over the colours, so a stack is seen as a grey picture."""
    torch.manual_seed(1)
    source = with_statistics(backbones.create(backbone, channels=3, classes=5))
    model = build(name, channels=2, length=4, seed=2).eval()
    load_published(model, source.state_dict())
    clip = torch.randn(2, 4, 2, 64, 64)
    grey = clip.sum((1, 2))[:, None].expand(-1, 3, -1, -1) / 3
    with torch.no_grad():
        torch.testing.assert_close(model(clip), source(grey), rtol=1e-4, atol=1e-4)


def test_pictures_too_small_are_refused_with_the_limit_and_the_limit_is_the_least():
    model = on_meta(build, "cnn_m_2048", channels=2, length=2)
    assert model(torch.empty(1, 2, 2, 41, 41, device="meta")).shape == (1, 5)
    with pytest.raises(ClipSizeError, match=r"cnn_m_2048 needs .*41×41.*40×41.*crop"):
        model(torch.empty(1, 2, 2, 41, 40, device="meta"))
