"""What holds for every model; what is particular to one stands in models/test_<name>.py."""

import contextlib
import copy
import inspect
import io

import pytest
import torch
from torch import nn
from torch.nn import functional

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.data.streams import STREAMS
from twostream.nets.layers import ClipSizeError, Stacked
from twostream.nets.model_card import Card

NAMES = plugins.names(models)
EVERY = pytest.mark.parametrize("name", NAMES)
BOTH = pytest.mark.parametrize("stream", sorted(STREAMS))
LARGE = ["c3d", "cnn_m_2048", "mc3", "r2plus1d", "r3d"]  # seconds for a step
LENGTH = 8
# For models that can be made smaller by their options.
SMALL = {"width": 48, "depth": 2, "heads": 3}


def small_options(name):
    parameters = inspect.signature(plugins.module(models, name).create, eval_str=True).parameters
    return {
        key: value
        for key, value in SMALL.items()
        if key in parameters and parameters[key].annotation is int
    }


def build(name, stream="temporal", classes=5, length=LENGTH, seed=0, **options):
    torch.manual_seed(seed)
    return plugins.create(
        models,
        name,
        channels=STREAMS[stream].channels,
        length=length,
        classes=classes,
        **small_options(name) | options,
    )


def clip_for(stream, batch=2, length=LENGTH, height=64, width=64):
    shape = (batch, length, STREAMS[stream].channels, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@EVERY
def test_a_model_has_a_card(name):
    card = plugins.module(models, name).CARD
    assert isinstance(card, Card)
    assert card.paper
    assert 1990 < card.year <= 2026


@EVERY
@BOTH
def test_a_model_gives_one_vector_of_logits_a_clip(name, stream):
    logits = build(name, stream).eval()(clip_for(stream, 3))
    assert logits.shape == (3, 5)
    assert torch.isfinite(logits).all()


@EVERY
@BOTH
@pytest.mark.parametrize(
    ("length", "height", "width"),
    [(8, 65, 79), (8, 79, 65), (8, 96, 64), (7, 64, 64), (16, 64, 64), (1, 64, 64), (8, 20, 20)],
)
def test_a_clip_of_another_size_is_taken_or_refused_with_the_limit(
    name, stream, length, height, width
):
    model = build(name, stream, length=length).eval()
    refusal = ""
    with torch.no_grad(), contextlib.suppress(ClipSizeError):
        try:
            logits = model(clip_for(stream, 1, length, height, width))
        except ClipSizeError as error:
            refusal = str(error)
            raise
        assert logits.shape == (1, 5)
        assert torch.isfinite(logits).all()
    if refusal:
        assert (length, height, width) not in ((16, 64, 64), (8, 96, 64))
        wrong = (length,) if "length" in refusal else (height, width)
        assert any(str(value) in refusal for value in wrong)
        assert "length" in refusal or "crop" in refusal


@EVERY
def test_the_videos_of_a_batch_do_not_see_each_other_in_evaluation(name):
    model = build(name).eval()
    clip = clip_for("temporal", 3)
    with torch.no_grad():
        together = model(clip)
        apart = torch.cat([model(one[None]) for one in clip])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        pytest.param(
            n, s, marks=[pytest.mark.slow] * (n in LARGE and (s == "temporal" or n != "c3d"))
        )
        for n in NAMES
        for s in sorted(STREAMS)
    ],
)
def test_a_step_lowers_the_loss_and_two_reach_every_weight(name, stream):
    model = build(name, stream).train()
    clip, label = clip_for(stream, 4), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.SGD(model.parameters(), 2e-3)
    reached = set()

    def loss():
        torch.manual_seed(7)  # the same units are dropped
        return functional.cross_entropy(model(clip), label)

    values = []
    for _ in range(2):  # behind a layer that begins at zero, weights are reached by the second step
        optimizer.zero_grad()
        values.append(loss())
        values[-1].backward()
        for parameter_name, parameter in model.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert torch.isfinite(parameter.grad).all(), parameter_name
            if parameter.grad.abs().max() > 0:
                reached.add(parameter_name)
        optimizer.step()
    assert values[1] < values[0]
    assert {n for n, _ in model.named_parameters()} == reached


@EVERY
def test_a_state_dict_carries_all_that_a_model_has_learnt(name):
    model = build(name).train()
    model(clip_for("temporal", 4))  # moves the statistics
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other, clip = build(name, seed=99), clip_for("temporal")
    with torch.no_grad():
        assert not torch.equal(model.eval()(clip), other.eval()(clip))
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(model.eval()(clip), other.eval()(clip))


@EVERY
def test_the_same_seed_builds_the_same_model(name):
    one, two = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


@EVERY
def test_a_model_names_its_first_layer_and_its_head(name):
    model = build(name)
    modules = dict(model.named_modules())
    first, head = modules[model.first_layer], modules[model.head]
    assert isinstance(first, nn.Conv2d | nn.Conv3d)
    assert isinstance(head, nn.Linear | nn.Conv3d)
    assert head.weight.shape[0] == 5
    # The first: nothing else sees the clip before it. The last: nothing comes after.
    seen = []
    leaves = [
        m
        for m in model.modules()
        if not list(m.children()) and any(True for _ in m.parameters(recurse=False))
    ]
    handles = [m.register_forward_hook(lambda module, *_: seen.append(module)) for m in leaves]
    model.eval()(clip_for("temporal"))
    for handle in handles:
        handle.remove()
    assert seen[0] is first
    assert seen[-1] is head


def stacking_models():
    with torch.device("meta"):
        return [name for name in NAMES if isinstance(build(name), Stacked)]


@pytest.mark.parametrize("name", stacking_models())
def test_a_stack_folds_to_x1_y1_x2_y2(name):
    model = build(name, length=10).eval()
    first = dict(model.named_modules())[model.first_layer]
    clip = torch.zeros(1, 10, 2, 64, 64)
    for t in range(10):
        clip[0, t, 0], clip[0, t, 1] = t + 1, -(t + 1)
    caught = []
    first.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    model(clip)
    order = [sign * (t + 1) for t in range(10) for sign in (1, -1)]
    assert caught[0][0, :, 30, 30].tolist() == order


# Formats: what a network may be turned into


@pytest.mark.parametrize(
    "name",
    # The processor emulates 3-D convolutions slowly; slow_fusion and i3d stay quick.
    [
        pytest.param(
            n,
            marks=[pytest.mark.slow]
            * (n in ("r3d", "mc3", "r2plus1d", "non_local", "c3d", "inflate")),
        )
        for n in NAMES
    ],
)
def test_a_model_runs_in_half_precision(name):
    model, clip = build(name).eval(), clip_for("temporal", 1)
    with torch.no_grad():
        exact, rough = model(clip), model.bfloat16()(clip.bfloat16())
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.1 * float(exact.abs().max()))


@EVERY
def test_a_model_runs_with_its_channels_last(name):
    model, clip = build(name).eval(), clip_for("temporal")
    with torch.no_grad():
        plain = model(clip)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)
            elif isinstance(module, nn.Conv3d):
                module.to(memory_format=torch.channels_last_3d)
        torch.testing.assert_close(model(clip), plain, rtol=1e-4, atol=1e-4)


@EVERY
def test_a_model_can_be_exported(name):
    model, clip = build(name).eval(), clip_for("temporal", 1)
    exported = torch.export.export(model, (clip,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(clip), model(clip), rtol=1e-4, atol=1e-4)


@EVERY
def test_a_model_is_one_graph_to_the_compiler(name):
    """Without a code generator: what the compiler has to see in one piece, it sees."""
    model, clip = build(name).eval(), clip_for("temporal", 1)
    whole = not any(
        isinstance(m, nn.RNNBase) for m in model.modules()
    )  # it leaves these as they are
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=whole)
    with torch.no_grad():
        torch.testing.assert_close(compiled(clip), model(clip), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@EVERY
def test_a_compiled_model_computes_the_same(name):
    model, clip = build(name).eval(), clip_for("temporal", 1)
    torch.compiler.reset()
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model)(clip), model(clip), rtol=1e-3, atol=1e-3)


# Options


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

    with pytest.raises(UserError, match=word) as caught:
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
        ("late_fusion", "head=mean"),
        ("late_fusion", "hidden=0"),
        ("slow_fusion", "kernel=2"),
        ("inflate", "kernel=0"),
        ("cnn_lstm", "hidden=0"),
        ("cnn_lstm", "layers=0"),
        ("conv_gru", "hidden=0"),
        ("conv_gru", "at="),
        ("conv_gru", "at=4"),
        ("conv_gru", "at=-5"),
        ("conv_gru", "at=-1,3"),
        ("conv_gru", "at=last"),
        *[
            (name, "backbone=resnet19")
            for name in ("early_fusion", "single_frame", "late_fusion", "inflate", "conv_gru")
        ],
        ("single_frame", "backbone=lenet"),
        ("single_frame", "backbone="),
        ("inflate", "backbone=models/tiny"),
    ],
)
def test_options_out_of_range_are_refused_in_one_sentence(name, text):
    with pytest.raises(UserError, match=text.partition("=")[0]) as caught:
        plugins.create(
            models,
            name,
            **plugins.parse_options(models, name, [text]),
            channels=2,
            length=10,
            classes=5,
        )
    assert "\n" not in str(caught.value)


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"'vgg'.*resnet.*tiny"):
        plugins.parse_options(models, "vgg", [])


def test_tiny_is_tiny():
    model = plugins.create(models, "tiny", channels=2, length=10, classes=101)
    assert sum(p.numel() for p in model.parameters()) < 100_000
