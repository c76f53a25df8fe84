import pytest
import torch
from made_networks import numbered, unset
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from twostream.models import c3d
from twostream.nets.pretrained import load_published


def build(channels=3, classes=7, seed=0, **options):
    torch.manual_seed(seed)
    return c3d.create(channels=channels, length=16, classes=classes, **options)


@pytest.fixture(scope="module")
def model():
    """A network in evaluation, for tests that change nothing in it."""
    return build().eval()


@pytest.mark.parametrize(("classes", "parameters"), [(101, 78_409_573), (487, 79_991_015)])
def test_size_and_cost_are_the_published_ones(classes, parameters):
    with torch.device("meta"):
        model, clip = build(classes=classes).eval(), torch.empty(1, 16, 3, 112, 112)
    assert sum(p.numel() for p in model.parameters()) == parameters
    with FlopCounterMode(display=False) as counter:
        model(clip)
    assert counter.get_total_flops() / 2e9 == pytest.approx(38.5, rel=0.01)


def test_names_and_shapes_are_the_published_ones():
    widths = {
        "conv1": (64, 3),
        "conv2": (128, 64),
        "conv3a": (256, 128),
        "conv3b": (256, 256),
        "conv4a": (512, 256),
        "conv4b": (512, 512),
        "conv5a": (512, 512),
        "conv5b": (512, 512),
    }
    expected = {f"{name}.weight": (*width, 3, 3, 3) for name, width in widths.items()}
    expected |= {"fc6.weight": (4096, 8192), "fc7.weight": (4096, 4096), "fc8.weight": (487, 4096)}
    expected |= {name.replace("weight", "bias"): shape[:1] for name, shape in expected.items()}
    with torch.device("meta"):
        own = {name: tuple(v.shape) for name, v in build(classes=487).state_dict().items()}
    assert own == expected


def plain_c3d(state, clip):
    """The paper's network as a formula of its weights, for clips of 16×112×112, or narrower."""
    x = clip.transpose(1, 2)
    for group, frames, pad in (
        (("conv1",), 1, 0),
        (("conv2",), 2, 0),
        (("conv3a", "conv3b"), 2, 0),
        (("conv4a", "conv4b"), 2, 0),
        (("conv5a", "conv5b"), 2, 1),
    ):
        for name in group:
            x = functional.conv3d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
            x = x.clamp(min=0)
        x = functional.pad(x, (pad, pad, pad, pad))  # zeros never win: nothing is negative
        time, height, width = x.shape[2] // frames, x.shape[3] // 2, x.shape[4] // 2
        x = x[:, :, : time * frames, : height * 2, : width * 2]
        x = x.unflatten(4, (width, 2)).unflatten(3, (height, 2)).unflatten(2, (time, frames))
        x = x.amax((3, 5, 7))
    assert x.shape[1:4] == (512, 1, 4)
    x = x.repeat_interleave(4 // x.shape[4], 4).flatten(1)
    for name in ("fc6", "fc7"):
        x = (x @ state[f"{name}.weight"].T + state[f"{name}.bias"]).clamp(min=0)
    return x @ state["fc8.weight"].T + state["fc8.bias"]


@pytest.mark.parametrize("width", [32, pytest.param(112, marks=pytest.mark.slow)])
def test_logits_at_the_papers_size_are_the_formula_of_the_weights(model, width):
    clip = torch.randn(1, 16, 3, 112, width)
    with torch.no_grad():
        expected = plain_c3d(model.state_dict(), clip)
        torch.testing.assert_close(model(clip), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("length", "height", "width"), [(8, 64, 64), (1, 64, 64), (9, 47, 90), (32, 32, 32), (1, 1, 1)]
)
def test_any_other_clip_is_brought_to_the_papers_size(model, length, height, width):
    with torch.no_grad():
        logits = model(torch.randn(1, length, 3, height, width))
    assert logits.shape == (1, 7)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("length", [2, 3, 5, 7, 9])
def test_no_frame_is_left_out_of_a_length_that_does_not_divide(model, length):
    clip = torch.randn(1, length, 3, 32, 32)
    changed = clip.clone()
    changed[:, -1] += 5
    with torch.no_grad():
        assert not torch.allclose(model(clip), model(changed), atol=1e-6)


def test_a_flow_network_takes_published_weights():
    state = numbered(build, classes=487)
    model = unset(build, channels=2, classes=5)
    notes = load_published(model, state)
    own = model.state_dict()
    for channel in range(2):
        torch.testing.assert_close(own["conv1.weight"][:, channel], state["conv1.weight"].mean(1))
    for name, value in state.items():
        if name not in ("conv1.weight", "fc8.weight", "fc8.bias"):
            assert torch.equal(own[name], value), name
    assert any("fc8.weight" in note and "487" in note for note in notes)


def test_gray_levels_and_flow_come_out_of_the_first_layer_as_wide():
    wide = {}
    for channels, width in ((3, 58), (2, 1)):  # 58 gray levels are ImageNet's deviation
        with torch.no_grad():
            clip = width * torch.randn(1, channels, 4, 32, 32)
            wide[channels] = float(build(channels=channels).conv1(clip).std())
    assert wide[3] == pytest.approx(wide[2], rel=0.2)


def test_the_signal_does_not_fade_on_its_way_through_the_convolutions(model):
    seen = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: seen.update({name: output.std()})
        )
        for name in ("conv1", "conv5b")
    ]
    with torch.no_grad():
        model(58 * torch.randn(1, 8, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    assert seen["conv5b"] > seen["conv1"] / 4
