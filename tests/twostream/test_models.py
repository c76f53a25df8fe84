"""What holds for every model; what is particular to one stands in models/test_<name>.py."""

import copy
import functools
import io

import pytest
import torch
from made_networks import on_meta, options_of, small_options
from torch import nn
from torch.nn import functional

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.data.streams import STREAMS
from twostream.nets.layers import ClipSizeError, Stacked
from twostream.nets.model_card import Card

NAMES = plugins.names(models)
LENGTH = 8
SIDE = 48  # the least of cnn_m_2048 is 41


def every(slow=()):
    """Every model; those of `slow`, which repeat others' layers or take seconds, in `make test-all`.

    At a module's scope: what is asked of one model comes together, and `model` is built once for it.
    """
    values = [pytest.param(n, marks=[pytest.mark.slow] * (n in slow)) for n in NAMES]
    return pytest.mark.parametrize("name", values, scope="module")


EVERY = every()


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


def clip_for(stream, batch=2, length=LENGTH, height=SIDE, width=SIDE):
    shape = (batch, length, STREAMS[stream].channels, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model(name):
    """A network of flow in evaluation, for tests that change nothing in it."""
    return build(name).eval()


@pytest.fixture(scope="module")
def logits(model):
    """What that says of the two clips of `clip_for("temporal")`."""
    with torch.no_grad():
        return model(clip_for("temporal"))


@EVERY
def test_a_model_has_a_card(name):
    card = plugins.module(models, name).CARD
    assert isinstance(card, Card)
    assert card.paper
    assert 1990 < card.year <= 2026


def check_logits(logits, model):
    """A vector a clip of `clip_for("temporal")`, which depends on no other clip."""
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()
    with torch.no_grad():
        apart = torch.cat([model(clip[None]) for clip in clip_for("temporal")])
    torch.testing.assert_close(logits, apart, rtol=1e-4, atol=1e-4)


@EVERY
def test_a_model_gives_one_vector_of_logits_a_clip_which_depends_on_no_other(name, model, logits):
    check_logits(logits, model)


# Sizes


SIZES = [(8, 65, 79), (8, 79, 65), (8, 96, 64), (7, 64, 64), (16, 64, 64), (1, 64, 64), (8, 20, 20)]


def outcome(model, clip):
    """Logits, or for which reason the clip is refused."""
    try:
        with torch.no_grad():
            return model(clip), ""
    except ClipSizeError as error:
        return None, str(error)


@functools.lru_cache(maxsize=4)
def build_on_meta(name, stream, length):
    return on_meta(build, name, stream, length=length)


@functools.lru_cache(maxsize=32)
def outcome_on_meta(name, stream, size):
    """The same for shapes alone, which is quick."""
    length, height, width = size
    clip = torch.empty(1, length, STREAMS[stream].channels, height, width, device="meta")
    return outcome(build_on_meta(name, stream, length), clip)


@EVERY
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_clip_of_another_size_is_taken_or_refused_with_the_limit(name, size):
    logits, refusal = outcome_on_meta(name, "temporal", size)
    if refusal:
        assert size not in ((16, 64, 64), (8, 96, 64))
        wrong = size[:1] if "length" in refusal else size[1:]
        assert any(str(value) in refusal for value in wrong)
        assert "length" in refusal or "crop" in refusal
    else:
        assert logits.shape == (1, 5)


QUICK_SIZES = [("temporal", (8, 20, 20)), ("spatial", (1, 64, 64))]


@EVERY
@pytest.mark.parametrize(
    ("stream", "size"),
    [
        pytest.param(s, size, marks=[pytest.mark.slow] * ((s, size) not in QUICK_SIZES))
        for s in sorted(STREAMS)
        for size in SIZES
    ],
    ids=str,
)
def test_a_clip_with_values_is_taken_or_refused_as_its_shape_is_and_gives_finite_logits(
    name, stream, size, model
):
    known = stream == "temporal" and size[0] == LENGTH
    network = model if known else build(name, stream, length=size[0]).eval()
    logits, refusal = outcome(network, clip_for(stream, 1, *size))
    expected, expected_refusal = outcome_on_meta(name, stream, size)
    assert refusal == expected_refusal
    if not refusal:
        assert logits.shape == expected.shape
        assert torch.isfinite(logits).all()


# Learning


def check_training(model, clip):
    """A step lowers the loss, and two reach every weight."""
    model, label = copy.deepcopy(model).train(), torch.arange(4)
    reached = set()

    def loss():
        torch.manual_seed(7)  # the same units are dropped
        return functional.cross_entropy(model(clip), label)

    values = []
    for _ in range(2):  # behind a layer that begins at zero, weights are reached by the second step
        model.zero_grad()
        values.append(loss())
        values[-1].backward()
        for parameter_name, parameter in model.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert torch.isfinite(parameter.grad).all(), parameter_name
            if parameter.grad.abs().max() > 0:
                reached.add(parameter_name)
        with torch.no_grad():
            # So long that the loss would fall by a hundredth on a plane: steep networks need short steps.
            square = sum(parameter.grad.square().sum() for parameter in model.parameters())
            for parameter in model.parameters():
                parameter -= 0.01 / square * parameter.grad
    assert values[1] < values[0]
    assert {n for n, _ in model.named_parameters()} == reached


@every(slow={"c3d", "cnn_m_2048", "non_local", "r2plus1d", "r3d"})
def test_a_step_lowers_the_loss_and_two_reach_every_weight(name, model):
    check_training(model, clip_for("temporal", 4))


# The first layer alone is another than for flow.
@every(slow=set(NAMES) - {"resnet", "tiny", "vivit"})
def test_on_frames_too_a_step_lowers_the_loss_and_two_reach_every_weight(name):
    check_training(build(name, "spatial"), clip_for("spatial", 4))


@every(slow={"c3d", "cnn_m_2048", "non_local", "r2plus1d", "r3d"})
def test_a_state_dict_carries_all_that_a_model_has_learnt(name, model):
    learnt, clip = copy.deepcopy(model).train(), clip_for("temporal")
    learnt(clip)  # moves the statistics
    file = io.BytesIO()
    torch.save(learnt.state_dict(), file)
    file.seek(0)
    other = build(name, seed=99)
    with torch.no_grad():
        expected = learnt.eval()(clip[:1])
        assert not torch.equal(expected, other.eval()(clip[:1]))
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(expected, other.eval()(clip[:1]))


@every(slow={"c3d", "cnn_m_2048"})
def test_the_same_seed_builds_the_same_model(name, model):
    one, two = model.state_dict(), build(name).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


# Parts


@EVERY
def test_a_model_names_its_first_layer_and_its_head(name, model):
    modules = dict(model.named_modules())
    first, head = modules[model.pretrained.first_layer], modules[model.pretrained.head]
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
    with torch.no_grad():
        model(clip_for("temporal", 1))
    for handle in handles:
        handle.remove()
    assert seen[0] is first
    assert seen[-1] is head


def stacking_models():
    return [name for name in NAMES if isinstance(on_meta(build, name), Stacked)]


@pytest.mark.parametrize("name", stacking_models())
def test_a_stack_folds_to_x1_y1_x2_y2(name):
    model = build(name, length=10).eval()
    first = model.get_submodule(model.pretrained.first_layer)
    clip = torch.zeros(1, 10, 2, 64, 64)
    for t in range(10):
        clip[0, t, 0], clip[0, t, 1] = t + 1, -(t + 1)
    caught = []
    first.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    model(clip)
    order = [sign * (t + 1) for t in range(10) for sign in (1, -1)]
    assert caught[0][0, :, 30, 30].tolist() == order


# Formats: what a network may be turned into


def check_half(model, clip):
    with torch.no_grad():
        exact, rough = model(clip), copy.deepcopy(model).bfloat16()(clip.bfloat16())
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.1 * float(exact.abs().max()))


def check_channels_last(model, clip):
    changed = copy.deepcopy(model)
    for module in changed.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
        elif isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        torch.testing.assert_close(changed(clip), model(clip), rtol=1e-4, atol=1e-4)


def check_export(model, clip):
    exported = torch.export.export(model, (clip,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(clip), model(clip), rtol=1e-4, atol=1e-4)


def check_graph(model, clip):
    """Without a code generator: what the compiler has to see in one piece, it sees."""
    # It leaves recurrences as they are.
    whole = not any(isinstance(m, nn.RNNBase) for m in model.modules())
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=whole)
    with torch.no_grad():
        torch.testing.assert_close(compiled(clip), model(clip), rtol=1e-4, atol=1e-4)


def check_compiled(model, clip):
    torch.compiler.reset()
    with torch.no_grad():
        compiled = torch.compile(copy.deepcopy(model))
        torch.testing.assert_close(compiled(clip), model(clip), rtol=1e-3, atol=1e-3)


# The first two's blocks are exported and compiled in models/test_i3d.py and test_non_local.py, the others
# consist of the same layers as models that stay quick.
DEEP = {"i3d", "non_local", "cnn_m_2048", "r2plus1d", "r3d"}


# The processor emulates 3-D convolutions slowly.
@every(slow={"c3d", "mc3", *DEEP})
def test_a_model_runs_in_half_precision(name, model):
    check_half(model, clip_for("temporal", 1))


@every(slow=DEEP - {"i3d"})
def test_a_model_runs_with_its_channels_last(name, model):
    check_channels_last(model, clip_for("temporal", 1))


@every(slow=DEEP)
def test_a_model_can_be_exported(name, model):
    check_export(model, clip_for("temporal", 1))


# These take longest; the layers of most are in another model, and all are exported above.
@every(
    slow={
        "mc3",
        "mvit",
        "efficientnet_lite",
        "c3d",
        "early_fusion",
        "late_fusion",
        "timesformer",
        *DEEP,
    }
)
def test_a_model_is_one_graph_to_the_compiler(name, model):
    check_graph(model, clip_for("temporal", 1))


@pytest.mark.slow
@EVERY
def test_a_compiled_model_computes_the_same(name, model):
    check_compiled(model, clip_for("temporal", 1))


# The models over another network, which above is tiny, over the one that is usual


OVER_ANOTHER = pytest.mark.parametrize("name", [n for n in NAMES if "backbone" in options_of(n)])


@OVER_ANOTHER
def test_over_its_usual_network_a_model_gives_a_vector_of_logits_a_clip_too(name):
    model = build(name, backbone=options_of(name)["backbone"].default).eval()
    with torch.no_grad():
        check_logits(model(clip_for("temporal")), model)


@pytest.mark.slow
@OVER_ANOTHER
@pytest.mark.parametrize(
    "check",
    [check_training, check_half, check_channels_last, check_export, check_graph, check_compiled],
)
def test_over_its_usual_network_it_learns_and_changes_its_format_too(name, check):
    model = build(name, backbone=options_of(name)["backbone"].default).eval()
    check(model, clip_for("temporal", 4 if check is check_training else 1))


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
