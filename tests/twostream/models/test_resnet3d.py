"""R3D, MC3 and R(2+1)D: one body, and torchvision's networks to compare it with."""

import pytest
import torch
from made_networks import unset
from torch.utils.flop_counter import FlopCounterMode

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.nets.pretrained import WeightsError, load_published

NAMES = ["r3d", "mc3", "r2plus1d"]
EVERY = pytest.mark.parametrize("name", NAMES, scope="module")


def build(name, channels=3, classes=400, seed=0, **options):
    torch.manual_seed(seed)
    return plugins.create(models, name, channels=channels, length=8, classes=classes, **options)


@pytest.fixture(scope="module")
def published(torchvision, name):
    """The network of torchvision, with weights and statistics that all matter."""
    torch.manual_seed(3)
    network = getattr(torchvision.models.video, f"{name}_18")(weights=None)
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.8, 1.5)
        elif value.ndim == 1:
            value.uniform_(0.3, 0.7)
    return network.eval()


@pytest.fixture(scope="module")
def loaded(published, name):
    """Our network with those weights, and what was noted; for tests that change nothing in it."""
    network = unset(build, name)
    return network, load_published(network, published.state_dict())


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"),
    [("r3d", 33_371_472, 40.7), ("mc3", 11_695_440, 43.3), ("r2plus1d", 31_505_325, 40.5)],
)
def test_size_and_cost_are_the_published_ones(name, parameters, gmac):
    with torch.device("meta"):
        model, clip = build(name).eval(), torch.empty(1, 16, 3, 112, 112)
    assert sum(p.numel() for p in model.parameters()) == parameters
    with FlopCounterMode(display=False) as counter:
        model(clip)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, rel=0.01)


@EVERY
@pytest.mark.parametrize(
    ("length", "height", "width"), [(5, 37, 50), pytest.param(8, 64, 64, marks=pytest.mark.slow)]
)
def test_logits_are_torchvisions_on_the_same_weights(
    name, length, height, width, published, loaded
):
    ours, notes = loaded
    assert len(notes) == 1  # nothing had to be adapted
    clip = torch.randn(2, length, 3, height, width)
    with torch.no_grad():
        expected = published(clip.transpose(1, 2))
        assert expected.std() > 0.01
        torch.testing.assert_close(ours(clip), expected, rtol=1e-4, atol=1e-4)


@EVERY
def test_a_flow_network_takes_the_body_and_the_mean_of_the_first_layer(name, published):
    state = published.state_dict()
    model = unset(build, name, channels=2, classes=5)
    fresh = model.fc.weight.clone()
    notes = load_published(model, state)
    own = model.state_dict()
    for channel in range(2):
        torch.testing.assert_close(own["stem.0.weight"][:, channel], state["stem.0.weight"].mean(1))
    assert torch.equal(own["fc.weight"], fresh)
    for key, value in state.items():
        if not key.startswith(("stem.0", "fc.")):
            assert torch.equal(own[key], value), key
    assert any("stem.0" in note for note in notes)
    assert any("fc.weight" in note and "400" in note for note in notes)


@pytest.mark.parametrize(
    ("own", "other"), [("r3d", "mc3"), ("mc3", "r2plus1d"), ("r2plus1d", "r3d")]
)
def test_one_takes_no_weights_of_another(own, other):
    with torch.device("meta"):
        model, state = build(own), build(other).state_dict()
    with pytest.raises(WeightsError, match=r"layer|stem"):
        load_published(model, state)


@EVERY
def test_the_published_file_is_named(name):
    with torch.device("meta"):
        address = build(name).pretrained.published
    assert address.startswith(f"https://download.pytorch.org/models/{name}_18-")


def test_the_published_files_are_torchvisions(torchvision):
    video = torchvision.models.video
    kinds = (video.R3D_18_Weights, video.MC3_18_Weights, video.R2Plus1D_18_Weights)
    for name, kind in zip(NAMES, kinds, strict=True):
        with torch.device("meta"):
            assert build(name).pretrained.published == kind.DEFAULT.url


@pytest.mark.parametrize(
    ("name", "lengths"),
    [("r3d", [16, 8, 4, 2]), ("mc3", [16, 16, 16, 16]), ("r2plus1d", [16, 8, 4, 2])],
)
def test_time_shrinks_with_the_picture_except_where_kernels_have_no_time(name, lengths):
    with torch.device("meta"):
        model = build(name).eval()
        x = model.stem(torch.empty(1, 3, 16, 112, 112))
        shapes = []
        for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
    widths, sides = (64, 128, 256, 512), (56, 28, 14, 7)
    assert shapes == [
        (width, length, side, side)
        for width, length, side in zip(widths, lengths, sides, strict=True)
    ]


@EVERY
@pytest.mark.parametrize(("length", "side"), [(1, 64), (2, 1), (3, 17)])
def test_no_clip_is_too_short_or_too_small(name, length, side, loaded):
    with torch.no_grad():
        logits = loaded[0](torch.randn(1, length, 3, side, side))
    assert logits.shape == (1, 400)
    assert torch.isfinite(logits).all()


@EVERY
def test_a_share_of_dropout_is_a_share(name):
    with pytest.raises(UserError, match="dropout=1"):
        build(name, dropout=1.0)
