import pickle
from pathlib import Path

import pytest
import torch

from flowcache import plugins
from twostream import models
from twostream.weights import WeightsError, convert_first_layer, load_published, read_state


def tiny(channels=3, length=1, classes=10, seed=0, **options):
    torch.manual_seed(seed)
    return plugins.create(
        models, "tiny", channels=channels, length=length, classes=classes, width=4, **options
    )


def load(network, state):
    return load_published(network, state, first_layer=network.first_layer, head=network.head)


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


def test_the_same_kind_of_network_takes_everything():
    source, network = tiny(seed=1), tiny(seed=2)
    notes = load(network, source.state_dict())
    clip = torch.randn(2, 1, 3, 32, 32)
    assert torch.equal(network.eval()(clip), source.eval()(clip))
    assert len(notes) == 1


def test_a_temporal_network_takes_a_spatial_ones_weights():
    source, network = tiny(seed=1), tiny(channels=2, length=10, seed=2)
    notes = load(network, source.state_dict())
    first = network.state_dict()["features.0.weight"]
    mean = source.state_dict()["features.0.weight"].mean(1)
    assert first.shape == (4, 20, 3, 3)
    assert all(torch.equal(first[:, c], mean) for c in range(20))
    for name, value in source.state_dict().items():
        if name != "features.0.weight":
            assert torch.equal(network.state_dict()[name], value), name
    assert any("features.0" in note and "averaged" in note for note in notes)


def test_a_head_for_other_classes_stays_fresh_and_that_is_said():
    source, network = tiny(classes=1000, seed=1), tiny(classes=5, seed=2)
    fresh = {k: v.clone() for k, v in network.state_dict().items() if k.startswith("fc")}
    notes = load(network, source.state_dict())
    for name, value in fresh.items():
        assert torch.equal(network.state_dict()[name], value)
    body = source.state_dict()["features.0.weight"]
    assert torch.equal(network.state_dict()["features.0.weight"], body)
    assert any("fc.weight" in note and "5" in note and "1000" in note for note in notes)


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
    state = dict(tiny(seed=1).state_dict())
    change(state)
    network = tiny(channels=2, length=10, seed=2)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(WeightsError, match=name):
        load(network, state)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_another_depth_of_resnet_is_refused():
    with torch.device("meta"):
        networks = {
            depth: plugins.create(models, "resnet", channels=3, length=1, classes=5, depth=depth)
            for depth in ("18", "34", "50")
        }
    for own, other in (("18", "34"), ("34", "18"), ("34", "50"), ("50", "34")):
        with pytest.raises(WeightsError, match=r"layer\d"):
            load(networks[own], networks[other].state_dict())


def test_counters_that_old_files_lack_are_no_reason_to_refuse():
    source, network = tiny(seed=1), tiny(seed=2)
    state = {k: v for k, v in source.state_dict().items() if "num_batches" not in k}
    load(network, state)
    assert torch.equal(network.fc.weight, source.fc.weight)


def test_a_state_dict_is_read_bare_or_from_a_checkpoint(tmp_path):
    state = tiny().state_dict()
    torch.save(state, tmp_path / "bare.pt")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "checkpoint.pt")
    for name in ("bare.pt", "checkpoint.pt"):
        read = read_state(str(tmp_path / name))
        assert read.keys() == state.keys()
        assert all(torch.equal(read[k], v) for k, v in state.items())


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "executed")


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


@pytest.mark.parametrize("content", [b"", b"no weights", bytes(300)])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    file = tmp_path / "weights.pt"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.pt"):
        read_state(str(file))


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.zeros(3), {"state_dict": {"a": "b"}}])
def test_data_that_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="state dict"):
        read_state(str(tmp_path / "weights.pt"))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        read_state(str(tmp_path / "weights.pt"))
