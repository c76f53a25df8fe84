import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from flowcache import plugins
from flowcache.types import FlowCacheError
from twostream import models
from twostream.streams import STREAMS

NAMES = plugins.names(models)
EVERY = pytest.mark.parametrize("name", NAMES)
BOTH = pytest.mark.parametrize("stream", sorted(STREAMS))


def build(name, stream="temporal", classes=5, length=None, **options):
    torch.manual_seed(0)
    stream = STREAMS[stream]
    return plugins.create(
        models,
        name,
        channels=stream.channels,
        length=length or stream.length,
        classes=classes,
        **options,
    )


def clip_for(stream, batch=2, height=64, width=64, length=None):
    stream = STREAMS[stream]
    shape = (batch, length or stream.length, stream.channels, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_there_are_models():
    assert {"resnet", "tiny"} <= set(NAMES)


@EVERY
@BOTH
@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 47)])
def test_a_model_gives_one_vector_of_logits_a_clip(name, stream, height, width):
    model = build(name, stream).eval()
    logits = model(clip_for(stream, 3, height, width))
    assert logits.shape == (3, 5)
    assert torch.isfinite(logits).all()


@EVERY
@BOTH
def test_a_model_takes_longer_clips(name, stream):
    length = 2 * STREAMS[stream].length
    model = build(name, stream, length=length).eval()
    assert model(clip_for(stream, length=length)).shape == (2, 5)


@EVERY
@BOTH
def test_the_videos_of_a_batch_do_not_see_each_other_in_evaluation(name, stream):
    model = build(name, stream).eval()
    clip = clip_for(stream, 3)
    with torch.no_grad():
        together = model(clip)
        apart = torch.cat([model(one[None]) for one in clip])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


@EVERY
@BOTH
def test_one_step_lowers_the_loss_and_reaches_every_weight(name, stream):
    model = build(name, stream).train()
    clip, label = clip_for(stream, 4), torch.tensor([0, 1, 2, 3])

    def loss():
        torch.manual_seed(7)  # the same units are dropped
        return functional.cross_entropy(model(clip), label)

    before = loss()
    before.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name
    torch.optim.SGD(model.parameters(), 1e-3).step()
    assert loss() < before


@EVERY
def test_a_state_dict_carries_all_that_a_model_has_learnt(name, tmp_path):
    stream = "temporal"
    model = build(name, stream).train()
    model(clip_for(stream, 4))  # moves the statistics
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(99)
    stream_values = STREAMS[stream]
    other = plugins.create(
        models, name, channels=stream_values.channels, length=stream_values.length, classes=5
    )
    clip = clip_for(stream)
    with torch.no_grad():
        assert not torch.equal(model.eval()(clip), other.eval()(clip))
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(model.eval()(clip), other.eval()(clip))


@EVERY
def test_the_same_seed_builds_the_same_model(name):
    one, two = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


@EVERY
def test_a_model_names_its_first_layer_and_its_head(name):
    model = build(name, "temporal")
    modules = dict(model.named_modules())
    first, head = modules[model.first_layer], modules[model.head]
    assert isinstance(head, nn.Linear)
    assert head.out_features == 5
    # It is the first: nothing else sees the clip before it.
    seen = []
    handles = [
        m.register_forward_hook(lambda module, *_: seen.append(module))
        for m in model.modules()
        if any(True for _ in m.parameters(recurse=False))
    ]
    model.eval()(clip_for("temporal"))
    for handle in handles:
        handle.remove()
    assert seen[0] is first
    assert seen[-1] is head


@EVERY
def test_two_dimensional_models_stack_a_clip_in_the_order_x1_y1_x2_y2(name):
    model = build(name, "temporal").eval()
    first = dict(model.named_modules())[model.first_layer]
    if not isinstance(first, nn.Conv2d) or first.in_channels != 20:
        pytest.skip(f"{name} does not stack time as channels")
    clip = torch.zeros(1, 10, 2, 64, 64)
    for t in range(10):
        clip[0, t, 0], clip[0, t, 1] = t + 1, -(t + 1)
    caught = []
    first.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    model(clip)
    order = [sign * (t + 1) for t in range(10) for sign in (1, -1)]
    assert caught[0][0, :, 30, 30].tolist() == order


@EVERY
@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense=1", "nonsense"),
        ("dropout", "NAME=VALUE"),
        ("dropout=much", "dropout"),
        ("dropout=1.5", "dropout"),
        ("dropout=nan", "dropout"),
        ("channels=4", "channels"),
        ("length=4", "length"),
        ("classes=4", "classes"),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence(name, text, word):
    def build_as_the_command_does():
        options = plugins.parse_options(models, name, [text])
        plugins.create(models, name, **options, channels=2, length=10, classes=5)

    with pytest.raises(FlowCacheError, match=word) as caught:
        build_as_the_command_does()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet", "depth=19"),
        ("resnet", "depth="),
        ("tiny", "width=0"),
        ("tiny", "width=-3"),
        ("tiny", "width=x"),
    ],
)
def test_options_out_of_range_are_refused_in_one_sentence(name, text):
    with pytest.raises(FlowCacheError, match=text.partition("=")[0]):
        plugins.create(
            models,
            name,
            **plugins.parse_options(models, name, [text]),
            channels=2,
            length=10,
            classes=5,
        )


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(FlowCacheError, match=r"'vgg'.*resnet.*tiny"):
        plugins.parse_options(models, "vgg", [])


def test_tiny_is_tiny():
    assert sum(p.numel() for p in build("tiny", "temporal", 101).parameters()) < 100_000


# ResNet against what is published about it


def resnet(depth, channels=3, classes=1000, length=1, **options):
    return plugins.create(
        models,
        "resnet",
        channels=channels,
        length=length,
        classes=classes,
        depth=depth,
        **options,
    )


@pytest.mark.parametrize(
    ("depth", "count"), [("18", 11_689_512), ("34", 21_797_672), ("50", 25_557_032)]
)
def test_resnets_have_the_published_number_of_parameters(depth, count):
    with torch.device("meta"):
        model = resnet(depth)
    assert sum(p.numel() for p in model.parameters()) == count


def test_resnet_50_needs_the_published_number_of_operations():
    with torch.device("meta"):
        model, clip = resnet("50").eval(), torch.empty(1, 1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter:
        model(clip)
    assert abs(counter.get_total_flops() / 2 / 4.089e9 - 1) < 0.01


def published_names(depth):
    """Names and shapes as in the files of weights that torchvision publishes."""
    blocks = {"18": (2, 2, 2, 2), "34": (3, 4, 6, 3), "50": (3, 4, 6, 3)}[depth]
    deep = depth == "50"
    shapes = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name, width):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    width = 64
    for number, (count, planes) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), 1):
        out = planes * 4 if deep else planes
        for block in range(count):
            at = f"layer{number}.{block}"
            kernels = (
                [(planes, width, 1), (planes, planes, 3), (out, planes, 1)]
                if deep
                else [(planes, width, 3), (planes, planes, 3)]
            )
            for k, (o, i, side) in enumerate(kernels, 1):
                shapes[f"{at}.conv{k}.weight"] = (o, i, side, side)
                norm(f"{at}.bn{k}", o)
            if block == 0 and width != out:
                shapes[f"{at}.downsample.0.weight"] = (out, width, 1, 1)
                norm(f"{at}.downsample.1", out)
            width = out
    shapes["fc.weight"], shapes["fc.bias"] = (1000, width), (1000,)
    return shapes


@pytest.mark.parametrize(("depth", "count"), [("18", 122), ("34", 218), ("50", 320)])
def test_resnets_have_the_published_names_and_shapes(depth, count):
    with torch.device("meta"):
        own = {name: tuple(value.shape) for name, value in resnet(depth).state_dict().items()}
    assert own == published_names(depth)
    assert len(own) == count


def plain_resnet(state, x, depth):
    """The published network as a formula of its weights, written without modules."""

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{name}.{k}"] for k in keys))

    x = functional.relu(norm(conv(x, "conv1", 2), "bn1"))
    x = functional.max_pool2d(x, 3, 2, 1)
    for layer in range(1, 5):
        block = 0
        while f"layer{layer}.{block}.conv1.weight" in state:
            at = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            strides = (1, stride, 1) if depth == "50" else (stride, 1)
            y = x
            for k, own in enumerate(strides, 1):
                y = norm(conv(y, f"{at}.conv{k}", own), f"{at}.bn{k}")
                y = functional.relu(y) if k < len(strides) else y
            if f"{at}.downsample.0.weight" in state:
                x = norm(conv(x, f"{at}.downsample.0", stride), f"{at}.downsample.1")
            x = functional.relu(x + y)
            block += 1
    return x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


@pytest.mark.parametrize("depth", ["18", "34", "50"])
def test_resnets_compute_what_the_published_weights_mean(depth):
    torch.manual_seed(0)
    model = resnet(depth, classes=7).eval()
    state = copy.deepcopy(model.state_dict())
    for name, value in state.items():  # statistics that matter
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.8, 1.5)
        elif "bn" in name and name.endswith("weight"):
            value.uniform_(0.3, 0.7)
    model.load_state_dict(state)
    clip = torch.randn(1, 1, 3, 41, 50)
    with torch.no_grad():
        expected = plain_resnet(state, clip[:, 0], depth)
        torch.testing.assert_close(model(clip), expected, rtol=1e-4, atol=1e-4)
