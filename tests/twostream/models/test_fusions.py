"""When time is joined: Karpathy et al. 2014's four ways, told apart by what they do with a clip."""

import pytest
import torch
from made_networks import build, gmac, on_meta, parameters, with_statistics

from twostream.nets.layers import ClipSizeError

OVER_BACKBONES = [
    "single_frame",
    "early_fusion",
    "late_fusion",
    "slow_fusion",
    "inflate",
    "cnn_lstm",
    "conv_gru",
]


def fixed(name, **options):
    return with_statistics(build(name, **{"backbone": "tiny"} | options))


def clips(*shape):
    """Of contrasts that differ from clip to clip and from frame to frame."""
    contrast = torch.linspace(2, 20, shape[0] * shape[1]).view(*shape[:2], 1, 1, 1)
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)) * contrast


# Single frame


def test_scores_of_single_frames_are_averaged():
    model, clip = fixed("single_frame", channels=2), clips(2, 5, 2, 32, 32)
    with torch.no_grad():
        each = [model(clip[:, t : t + 1]) for t in range(5)]
        assert not torch.allclose(each[0], each[1], atol=1e-3)
        torch.testing.assert_close(model(clip), sum(each) / 5)


def test_with_25_frames_and_a_resnet_50_it_is_the_temporal_segment_network():
    with torch.device("meta"):
        model = build("single_frame", length=25, classes=400, backbone="resnet50")
    assert parameters(model) / 1e6 == pytest.approx(24.33, abs=0.005)
    assert gmac(model, 1, 25, 3, 224, 224) == pytest.approx(102.7, rel=0.01)


# Late fusion

ORDERS = pytest.mark.parametrize("order", [(5, 4, 3, 2, 1, 0), (1, 0, 2, 3, 4, 5)])


@ORDERS
def test_late_fusion_by_pooling_knows_no_order(order):
    model, clip = fixed("late_fusion", length=6, head="pool"), clips(2, 6, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(clip[:, list(order)]), model(clip), rtol=1e-4, atol=1e-5)


@ORDERS
def test_late_fusion_by_fully_connected_layers_knows_the_order(order):
    model, clip = fixed("late_fusion", length=6, head="fc"), clips(2, 6, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(model(clip[:, list(order)]), model(clip), atol=1e-3)


@pytest.mark.parametrize("head", ["fc", "pool"])
def test_in_late_fusion_frames_meet_in_the_head_alone(head):
    model, clip = fixed("late_fusion", length=6, head=head), clips(1, 6, 3, 32, 32)
    with torch.no_grad():
        features = torch.stack([model.backbone(clip[:, t]) for t in range(6)], 1)
        if head == "pool":
            expected = model.fc(features.mean(1))
        else:
            hidden = (features.flatten(1) @ model.fusion[0].weight.T + model.fusion[0].bias).relu()
            expected = hidden @ model.fusion[3].weight.T + model.fusion[3].bias
        torch.testing.assert_close(model(clip), expected, rtol=1e-5, atol=1e-6)


def test_more_frames_make_a_fully_connected_head_larger_and_a_pooling_one_not():
    with torch.device("meta"):
        sizes = {
            head: [
                parameters(build("late_fusion", length=n, head=head, hidden=32, backbone="tiny"))
                for n in (4, 6)
            ]
            for head in ("fc", "pool")
        }
    assert sizes["pool"][0] == sizes["pool"][1]
    assert sizes["fc"][1] - sizes["fc"][0] == 2 * 64 * 32


# Early fusion


@pytest.mark.parametrize(("frame", "channel"), [(0, 0), (0, 1), (3, 0), (3, 1), (5, 1)])
def test_input_2t_of_early_fusion_is_frame_ts_dx_and_the_next_its_dy(frame, channel):
    model, clip = fixed("early_fusion", channels=2, length=6), clips(1, 6, 2, 32, 32)
    first = model.get_submodule(model.pretrained.first_layer)
    with torch.no_grad():
        kept = first.weight[:, 2 * frame + channel].clone()
        first.weight.zero_()
        first.weight[:, 2 * frame + channel] = kept
        only = torch.zeros_like(clip)
        only[:, frame, channel] = clip[:, frame, channel]
        assert torch.equal(model(clip), model(only))
        assert not torch.allclose(model(clip), model(torch.zeros_like(clip)), atol=1e-3)


# Slow fusion, and early fusion beside it


def shifted(frames, by):
    """Two views of one long clip: what the second shows at t + by, the first shows at t."""
    long = torch.randn(1, frames + by, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return long[:, by:], long[:, :-by]


@pytest.mark.parametrize(
    ("backbone", "level", "stride", "reach"),
    [
        ("tiny", -1, 16, 30),
        ("tiny", 0, 2, 2),
        ("resnet18", 0, 4, 19),
        pytest.param("resnet18", 1, 8, 47, marks=pytest.mark.slow),
    ],
)
def test_the_features_of_slow_fusion_move_with_the_clip(backbone, level, stride, reach):
    """Shifted by their stride in time they move by one, wherever they do not see the clip's ends."""
    model = fixed("slow_fusion", backbone=backbone)
    ends = -(-reach // stride) + 1
    clip, later = shifted((2 * ends + 4) * stride, stride)
    with torch.no_grad():
        before, after = (model.backbone.maps(x.transpose(1, 2))[level] for x in (clip, later))
    inside = slice(ends, before.shape[2] - ends - 1)
    moved = slice(inside.start + 1, inside.stop + 1)
    assert inside.stop - inside.start >= 2
    torch.testing.assert_close(after[:, :, moved], before[:, :, inside], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(after[:, :, inside], before[:, :, inside], atol=1e-2)
    assert not torch.allclose(after[:, :, :1], before[:, :, :1], atol=1e-2)


def test_early_fusion_has_no_time_left_and_its_features_change_where_slow_fusions_move():
    clip, later = shifted(16, 16)
    model = fixed("early_fusion", length=16)
    with torch.no_grad():
        before, after = (model.backbone.maps(x.flatten(1, 2)) for x in (clip, later))
    for one, other in zip(before, after, strict=True):
        assert one.ndim == 4  # (B, C, H, W)
        # No place of a map is found again at any other.
        apart = (one.flatten(2)[..., :, None] - other.flatten(2)[..., None, :]).abs()
        assert apart.mean(1).min() > 1e-3


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_every_convolution_of_slow_fusion_sees_as_many_frames_as_it_is_told(kernel):
    model = build("slow_fusion", backbone="tiny", kernel=kernel)
    kernels = [m.kernel_size[0] for m in model.modules() if isinstance(m, torch.nn.Conv3d)]
    assert kernels == [kernel] * 4


@pytest.mark.parametrize(
    ("backbone", "lengths"), [("resnet18", [8, 4, 2, 1]), ("resnet50", [8, 4, 2, 1])]
)
def test_in_slow_fusion_what_halves_the_picture_halves_time(backbone, lengths):
    model = on_meta(build, "slow_fusion", backbone=backbone)
    maps = model.backbone.maps(torch.empty(1, 3, 32, 64, 64, device="meta"))
    assert [m.shape[2] for m in maps] == lengths
    assert [m.shape[3] for m in maps] == [16, 8, 4, 2]


# What a clip must at least be


@pytest.mark.parametrize(
    ("name", "backbone", "side"),
    [
        *[(name, "alexnet", 63) for name in OVER_BACKBONES],
        ("conv_gru", "vgg11", 32),
        ("conv_gru", "cnn_m_2048", 41),
    ],
)
def test_pictures_too_small_for_the_backbone_are_refused_with_the_limit(name, backbone, side):
    model = on_meta(build, name, channels=2, length=2, backbone=backbone)
    assert model(torch.empty(1, 2, 2, side, side, device="meta")).shape == (1, 5)
    for height, width in ((side - 1, side), (side, side - 1)):
        with pytest.raises(ClipSizeError, match=rf"{side}×{side} .*{width}×{height}.*crop"):
            model(torch.empty(1, 2, 2, height, width, device="meta"))
