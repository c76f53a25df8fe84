import pickle
from pathlib import Path

import pytest
import torch
from made_networks import build, on_meta
from safetensors.torch import save_file

from flowcache import plugins
from flowcache.errors import UserError
from twostream import backbones, models
from twostream.nets.pretrained import (
    Pretrained,
    WeightsError,
    convert_first_layer,
    fetch,
    inflate,
    load_published,
    read_state,
)


def tiny(channels=3, length=1, classes=10, seed=0):
    torch.manual_seed(seed)
    return plugins.create(
        models, "tiny", channels=channels, length=length, classes=classes, width=4
    )


def published(classes=10, seed=1, width=4):
    """A state dict as its authors would publish it: of the 2-D network alone, with random statistics."""
    torch.manual_seed(seed)
    network = backbones.create("tiny", channels=3, classes=classes, width=width).train()
    network(torch.randn(8, 3, 32, 32))
    return network.state_dict()


def over_tiny(name, seed=2, **options):
    torch.manual_seed(seed)
    return plugins.create(models, name, channels=2, length=6, classes=5, backbone="tiny", **options)


def test_the_first_layer_is_the_mean_over_the_colours_repeated_for_each_channel():
    weight = torch.randn(8, 3, 5, 5)
    wide = convert_first_layer(weight, 20)
    assert wide.shape == (8, 20, 5, 5)
    mean = (weight[:, 0] + weight[:, 1] + weight[:, 2]) / 3
    for channel in range(20):
        torch.testing.assert_close(wide[:, channel], mean)


def test_a_first_layer_with_time_keeps_its_time():
    weight = torch.randn(8, 3, 4, 5, 5)
    wide = convert_first_layer(weight, 2)
    torch.testing.assert_close(wide[:, 1], weight.mean(1))


def test_an_inflated_kernel_sums_to_the_flat_one():
    weight = torch.randn(8, 3, 5, 5)
    for length in (1, 2, 3, 7):
        assert inflate(weight, length).shape == (8, 3, length, 5, 5)
        torch.testing.assert_close(inflate(weight, length).sum(2), weight)


def test_the_same_kind_of_network_takes_everything():
    source, network = tiny(seed=1), tiny(seed=2)
    notes = load_published(network, source.state_dict())
    clip = torch.randn(2, 1, 3, 32, 32)
    assert torch.equal(network.eval()(clip), source.eval()(clip))
    assert len(notes) == 1


def test_a_model_takes_what_was_published_of_its_backbone():
    state, network = published(), tiny(seed=2)
    assert load_published(network, state) == [f"{len(state)} tensors matched"]
    for name, value in state.items():
        assert torch.equal(network.state_dict()[f"backbone.{name}"], value), name


WRAPPERS = ["model.", "module.", "module.model.", "model.module.model."]


@pytest.mark.parametrize("wrapper", ["", "model.network.", *WRAPPERS])
def test_names_in_checkpoints_may_have_something_before_them(wrapper):
    source, network = tiny(seed=1), tiny(seed=2)
    state = {wrapper + name: value for name, value in source.state_dict().items()}
    if wrapper == "model.network.":
        state |= {"model.scale": torch.ones(3), "model.shift": torch.ones(3)}
    load_published(network, state)
    for name, value in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


@pytest.mark.parametrize("wrapper", [*WRAPPERS, "backbone.", "module.backbone.", "model.backbone."])
def test_so_may_those_of_a_backbone_by_itself(wrapper):
    state = published()
    for network in (tiny(seed=2), tiny(seed=2).backbone):
        load_published(network, {wrapper + name: value for name, value in state.items()})
        last = network.get_submodule(network.pretrained.head)
        assert torch.equal(last.weight, state["fc.weight"])


def test_what_stands_before_some_names_alone_stays():
    state = published()
    mixed = {("model." if n.startswith("fc") else "") + n: value for n, value in state.items()}
    with pytest.raises(WeightsError, match=r"have .*model\.fc\.weight"):
        load_published(tiny(seed=2), mixed)


class Wrapped(torch.nn.Module):
    """A network whose own names begin as those of wrapped ones do."""

    pretrained = Pretrained(first_layer="model.0", head="model.1")

    def __init__(self):
        super().__init__()
        self.model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Linear(2, 2))


@pytest.mark.parametrize("wrapper", ["", "module."])
def test_what_stands_before_the_networks_own_names_stays_too(wrapper):
    source, network = Wrapped(), Wrapped()
    state = {wrapper + name: value for name, value in source.state_dict().items()}
    assert load_published(network, state) == ["4 tensors matched"]
    assert torch.equal(network.model[1].weight, source.model[1].weight)


def test_a_temporal_network_takes_a_spatial_ones_weights():
    state, network = published(), tiny(channels=2, length=10, seed=2)
    notes = load_published(network, state)
    first = network.state_dict()["backbone.features.0.weight"]
    mean = state["features.0.weight"].mean(1)
    assert first.shape == (4, 20, 3, 3)
    assert all(torch.equal(first[:, c], mean) for c in range(20))
    for name, value in state.items():
        if name != "features.0.weight":
            assert torch.equal(network.state_dict()[f"backbone.{name}"], value), name
    assert any("features.0" in note and "averaged" in note for note in notes)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_still_clip_says_to_a_stack_of_frames_what_its_frame_said_to_the_network(length):
    state, network = published(), tiny(length=length, seed=2)
    notes = load_published(network, state)
    alone = backbones.create("tiny", channels=3, classes=10, width=4)
    alone.load_state_dict(state)
    frames = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = alone.eval()(frames)
        assert expected.std() > 0.01
        clip = frames[:, None].expand(-1, length, -1, -1, -1)
        torch.testing.assert_close(network.eval()(clip), expected, rtol=1e-4, atol=1e-5)
    assert any("repeated for each frame" in note for note in notes) == (length > 1)


@pytest.mark.parametrize("length", [3, 6, 9])  # such stacks have as many channels as ones of RGB
def test_a_stack_of_flow_has_the_mean_of_the_colours_at_any_length(length):
    state, network = published(), tiny(channels=2, length=length, seed=2)
    load_published(network, state)
    first = network.state_dict()["backbone.features.0.weight"]
    assert torch.equal(first, state["features.0.weight"].mean(1, keepdim=True).expand_as(first))


@pytest.mark.parametrize(
    "name", ["cnn_m_2048", "early_fusion", "efficientnet_lite", "resnet", "tiny"]
)
@pytest.mark.parametrize("channels", [2, 3])
def test_a_model_that_stacks_frames_says_so(name, channels):
    network = on_meta(build, name, channels=channels, length=3)
    assert network.pretrained.frame_channels == channels
    first = network.get_submodule(network.pretrained.first_layer)
    assert first.in_channels == 3 * channels


def test_a_head_for_other_classes_stays_fresh_and_that_is_said():
    state, network = published(classes=1000), tiny(classes=5, seed=2)
    fresh = {k: v.clone() for k, v in network.state_dict().items() if "fc" in k}
    notes = load_published(network, state)
    assert len(fresh) == 2
    for name, value in fresh.items():
        assert torch.equal(network.state_dict()[name], value)
    body = network.state_dict()["backbone.features.0.weight"]
    assert torch.equal(body, state["features.0.weight"])
    assert any("fc.weight" in note and "5" in note and "1000" in note for note in notes)


def test_what_a_model_adds_stays_fresh_and_that_is_said():
    state, network = published(width=16), over_tiny("cnn_lstm")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    notes = load_published(network, state)
    for name, value in network.state_dict().items():
        if name.startswith(("lstm", "fc")):
            assert torch.equal(value, before[name]), name
        elif name != "backbone.features.0.weight":
            assert torch.equal(value, state[name.removeprefix("backbone.")]), name
    assert any("fresh" in note and "lstm" in note for note in notes)
    assert any("left out" in note and "fc" in note for note in notes)


@pytest.mark.parametrize("name", ["slow_fusion", "inflate"])
def test_two_dimensional_weights_are_inflated_and_that_is_said(name):
    state, network = published(width=16), over_tiny(name)
    notes = load_published(network, state)
    own = network.state_dict()
    kernel = own["backbone.features.4.weight"]
    assert kernel.shape == (32, 16, 3, 3, 3)
    torch.testing.assert_close(kernel.sum(2), state["features.4.weight"])
    first = own["backbone.features.0.weight"].sum(2)
    torch.testing.assert_close(first[:, 1], state["features.0.weight"].mean(1))
    assert any("4 kernels inflated" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda s: s.pop("features.4.weight"), "features.4.weight"),
        (lambda s: s.pop("features.1.running_mean"), "features.1.running_mean"),
        (lambda s: s.pop("fc.bias"), "fc.bias"),
        (lambda s: s.pop("features.0.weight"), "features.0.weight"),
        (lambda s: s.update({"layer9.weight": torch.zeros(3)}), "layer9.weight"),
        (lambda s: s.update({"features.4.weight": torch.zeros(8, 4, 5, 5)}), "features.4.weight"),
        (lambda s: s.update({"features.0.weight": torch.zeros(5, 3, 3, 3)}), "features.0.weight"),
        (lambda s: s.update({"features.0.weight": torch.zeros(4, 3, 7, 7)}), "features.0.weight"),
        (lambda s: s.update({"features.1.bias": torch.zeros(9)}), "features.1.bias"),
    ],
)
def test_anything_else_that_differs_is_refused_by_name_and_changes_nothing(change, name):
    state = dict(published())
    change(state)
    network = tiny(channels=2, length=10, seed=2)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(WeightsError, match=name):
        load_published(network, state)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("features.4.weight"), "the weights lack backbone.features.4.weight:"),
        (
            lambda s: s.update({"layer9.weight": torch.zeros(3)}),
            "the weights have backbone.layer9.weight, which the network lacks:",
        ),
        (
            lambda s: s.update({"features.4.weight": torch.zeros(8, 4, 5, 5)}),
            "backbone.features.4.weight is (8, 4, 5, 5) in the weights and (8, 4, 3, 3) in the network:",
        ),
    ],
)
def test_what_differs_is_named_by_how_it_does(change, says):
    state = dict(published())
    change(state)
    with pytest.raises(WeightsError) as caught:
        load_published(tiny(), state)
    assert str(caught.value).startswith(says)


def test_another_depth_of_resnet_is_refused():
    with torch.device("meta"):
        networks = {
            depth: plugins.create(models, "resnet", channels=3, length=1, classes=5, depth=depth)
            for depth in ("18", "34", "50")
        }
    for own, other in (("18", "34"), ("34", "18"), ("34", "50"), ("50", "34")):
        with pytest.raises(WeightsError, match=r"layer\d"):
            load_published(networks[own], networks[other].state_dict())


def test_counters_that_old_files_lack_are_no_reason_to_refuse():
    state, network = published(), tiny(seed=2)
    old = {k: v for k, v in state.items() if "num_batches" not in k}
    assert len(old) < len(state)
    load_published(network, old)
    assert torch.equal(network.backbone.fc.weight, state["fc.weight"])


def test_a_network_that_says_nothing_of_weights_is_told_what_to_say():
    with pytest.raises(UserError, match=r"Linear .*`pretrained`.*Pretrained") as caught:
        load_published(torch.nn.Linear(2, 2), {"weight": torch.zeros(2, 2)})
    assert caught.value.parameter == "init"
    assert "\n" not in str(caught.value)


def test_what_is_said_of_a_network_is_said_of_a_larger_one_that_has_it():
    inner = Pretrained(
        first_layer="conv", head="last", prefix="net.", fresh=("a",), unused=("b", "c")
    )
    outer = inner.under("x.", fresh=("d",))
    assert outer == Pretrained(
        first_layer="x.conv",
        head="x.last",
        prefix="x.net.",
        fresh=("x.a", "d"),
        unused=("x.b", "x.c"),
    )
    assert inner.under("x.", head="own").head == "own"


def test_a_wrong_file_is_refused_even_where_all_of_it_could_be_left_out():
    with pytest.raises(WeightsError, match="lack"):
        load_published(over_tiny("cnn_lstm"), {"fc.weight": torch.zeros(10, 16)})


def test_a_state_dict_is_read_bare_or_from_a_checkpoint(tmp_path):
    state = tiny().state_dict()
    torch.save(state, tmp_path / "bare.pt")
    names = ["bare.pt"]
    for key in ("state_dict", "model_state", "model", "module"):
        names.append(f"{key}.pt")
        torch.save({"epoch": 3, key: state}, tmp_path / names[-1])
    for name in names:
        read = read_state(str(tmp_path / name))
        assert read.keys() == state.keys()
        assert all(torch.equal(read[k], v) for k, v in state.items())


def test_a_state_dict_is_read_from_safetensors(tmp_path):
    state, network = published(), tiny(seed=2)
    save_file(
        {f"module.{name}": value for name, value in state.items()}, tmp_path / "w.safetensors"
    )
    read = read_state(str(tmp_path / "w.safetensors"))
    assert read.keys() == {f"module.{name}" for name in state}
    load_published(network, read)
    for name, value in state.items():
        assert torch.equal(network.state_dict()[f"backbone.{name}"], value), name


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "executed")


def test_weights_of_which_a_bit_has_changed_are_refused(tmp_path):
    file = tmp_path / "weights.pt"
    torch.save({"conv1.weight": torch.ones(64, 64)}, file)
    whole = file.read_bytes()
    place = whole.index(torch.ones(4).numpy().tobytes()) + 100
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(WeightsError, match=r"weights\.pt.*checksum"):
        read_state(str(file))


def test_weights_of_before_there_were_archives_are_read(tmp_path):
    file = tmp_path / "weights.pt"
    torch.save({"conv1.weight": torch.ones(2)}, file, _use_new_zipfile_serialization=False)
    assert read_state(str(file))["conv1.weight"].tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_a_file_that_would_execute_code_is_refused_and_nothing_runs(tmp_path, kind):
    witness, file = tmp_path / "witness", tmp_path / "weights.pt"
    content = {"conv1.weight": Trap(str(witness))}
    if kind == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match=r"weights\.pt") as caught:
        read_state(str(file))
    assert "\n" not in str(caught.value)
    assert not witness.exists()
    pickle.loads(pickle.dumps(Trap(str(witness))))
    assert witness.exists()  # the trap works where it is let loose


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", bytes(300)])
def test_a_file_of_something_else_is_refused(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=name) as caught:
        read_state(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"a": 1}, torch.zeros(3), {"state_dict": {"a": "b"}}, {1: torch.zeros(3)}],
)
def test_data_that_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="state dict"):
        read_state(str(tmp_path / "weights.pt"))


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_file_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(WeightsError, match="does not exist"):
        read_state(str(tmp_path / name))


def test_weights_that_cannot_be_fetched_are_refused_with_their_address():
    with pytest.raises(WeightsError, match=r"http://127.0.0.1:9/w-01234567.pth.*give the file"):
        fetch("http://127.0.0.1:9/w-01234567.pth")


def test_weights_may_be_fetched_by_a_function():
    state = published()
    assert fetch(lambda: state) is state
