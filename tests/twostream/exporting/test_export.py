import json
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
import torch
from made_networks import small_options
from safetensors import safe_open
from torch import nn

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.exporting import formats
from twostream.exporting.export import compared, export
from twostream.exporting.random_clips import random_clip
from twostream.prediction.networks import load_network
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.files import BEST
from twostream.runs.spec import Spec

FORMATS = plugins.names(formats)
STREAMS = ("spatial", "temporal")
READ_AGAIN = [name for name in FORMATS if name != "pt2"]
SIDE = 48  # the least of cnn_m_2048 is 41


def logits_of(run, clip):
    model, _ = load_checkpoint(run / BEST)
    with torch.inference_mode():
        return model(*map(torch.from_numpy, clip)).numpy()


# What is written


@pytest.mark.slow
@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("name", plugins.names(models))
def test_every_model_is_the_same_network_in_every_format(name, ending, spec, untrained, tmp_path):
    clip = {"length": 8, "crop": SIDE}
    run = untrained(tmp_path / "run", spec(model=name, options=small_options(name), clip=clip))
    export(run, tmp_path / f"x.{ending}")
    model, described = load_checkpoint(run / BEST)
    read = plugins.module(formats, ending).read(tmp_path / f"x.{ending}", model)
    clips = random_clip(described, 5, np.random.default_rng(9))
    found, expected = read(clips), logits_of(run, clips)
    difference = np.abs(found - expected).max()
    assert difference <= 1e-3
    # Or the comparison would say nothing.
    assert np.ptp(expected, axis=0).max() > 100 * difference


@pytest.mark.parametrize("ending", READ_AGAIN)
@pytest.mark.parametrize("stream", STREAMS)
def test_a_file_takes_stored_integers_in_batches_of_any_size(stream, ending, exported):
    network = load_network(exported / f"{stream}.{ending}")
    for count in (1, 4, 7):
        clips = random_clip(network.spec, count, np.random.default_rng(count))
        assert clips.values.dtype == {"spatial": np.uint8, "temporal": np.int8}[stream]
        expected = logits_of(exported / stream, clips)
        np.testing.assert_allclose(network.logits(clips), expected, atol=1e-4)
        assert np.ptp(expected, axis=0).max() > 0.01 or count == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stream", "recipe"),
    [("temporal", {"bound": 40.0, "quantizer_step": 0.125}), ("difference", {})],
)
def test_the_integers_may_be_of_16_bits(stream, recipe, spec, untrained, tmp_path):
    run = untrained(tmp_path / "run", spec(stream, recipe=recipe))
    written = export(run, tmp_path / "x.onnx")
    assert "int16 (B, 3," in str(written)
    network = load_network(written.path)
    clips = random_clip(network.spec, 2, np.random.default_rng(1))
    assert clips.values.dtype == np.int16
    np.testing.assert_allclose(network.logits(clips), logits_of(run, clips), atol=1e-4)


def test_what_the_file_says_of_its_network_is_what_the_checkpoint_says(exported):
    _, expected = load_checkpoint(exported / "temporal" / BEST)
    (told,) = (
        p.value
        for p in onnx.load(exported / "temporal.onnx").metadata_props
        if p.key == "twostream"
    )
    with safe_open(exported / "temporal.safetensors", "pt") as file:
        tensors = file.metadata()["twostream"]
    with ZipFile(exported / "temporal.pt2") as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("twostream.json"))
        program = archive.read(name).decode()
    for text in (told, tensors, program):
        assert Spec.from_json(text) == expected
        assert json.loads(text)["classes"] == ["calm", "wild"]
        assert json.loads(text)["recipe"]["algorithm"] == "tvl1"


def test_a_file_of_onnx_is_valid_and_says_nothing_of_where_it_was_made(exported, root):
    model = onnx.load(exported / "spatial.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert [put.name for put in model.graph.input] == ["clip", "mean", "gain"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    content = (exported / "spatial.onnx").read_bytes()
    assert str(root).encode() not in content
    assert b".py" not in content


# What is not written


def differing(format, change, monkeypatch):
    """Make a format's reader compute something else than the network."""
    module = plugins.module(formats, format)
    read = module.read
    monkeypatch.setattr(
        module, "read", lambda *words: lambda clip: change(read(*words)(clip)).astype(np.float32)
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda logits: logits + 2e-3,
        lambda logits: logits[::-1] if len(logits) == 3 else logits,  # clips that were exchanged
        lambda logits: logits * np.nan,
    ],
    ids=["more", "exchanged", "no number"],
)
def test_a_file_that_differs_is_not_left_and_the_one_before_it_stays(
    change, exported, tmp_path, monkeypatch
):
    differing("safetensors", change, monkeypatch)
    output = tmp_path / "x.safetensors"
    output.write_text("the one before")
    with pytest.raises(UserError, match="was not written, because its logits differ"):
        export(exported / "temporal", output)
    assert output.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [output]


def test_logits_below_one_are_compared_by_their_own_size(exported):
    model, described = load_checkpoint(exported / "temporal" / BEST)
    with torch.no_grad():
        for value in list(model.parameters())[-2:]:  # of the last layer
            value *= 1e-4
    nothing = compared(model, described, lambda clip: np.zeros((len(clip.values), 2), np.float32))
    assert nothing.largest < 1e-3
    assert not nothing.is_small


@pytest.mark.parametrize("output", ["x.pth", "x", "onnx", ".onnx"])
def test_an_ending_that_names_no_format_is_refused(output, exported, tmp_path):
    with pytest.raises(UserError, match=r"onnx, \.pt2, \.safetensors") as caught:
        export(exported / "temporal", tmp_path / output)
    assert caught.value.parameter == "output"


class Undecided(nn.Module):
    """What it does depends on what it sees, which no graph can say."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)

    def forward(self, clip):
        features = clip.mean((1, 3, 4))
        return self.fc(features) if features.sum() > 0 else self.fc(-features)


class Counting(Undecided):
    """It makes the number of clips a part of its graph."""

    def forward(self, clip):
        return self.fc(clip.reshape(len(clip), -1, 2).mean(1))


class Own(Undecided):
    def forward(self, clip):
        return self.fc(clip.mean((1, 3, 4)).tanh())


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
@pytest.mark.parametrize(("kind", "reason"), [(Undecided, "data-dep"), (Counting, r"by len\(x\)")])
def test_a_network_that_is_no_graph_is_refused_in_one_sentence(
    kind, reason, ending, spec, untrained, tmp_path
):
    run = untrained(tmp_path / "run", spec(model="mine.Network"), kind())
    message = rf"mine\.Network cannot be made a graph.*{reason}"
    with pytest.raises(UserError, match=message) as caught:
        export(run, tmp_path / f"x.{ending}", kind())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / f"x.{ending}").exists()


def test_a_network_of_ones_own_is_passed_and_needs_no_class_of_its_own_as_onnx(
    spec, untrained, tmp_path
):
    run = untrained(tmp_path / "run", spec(model="mine.Own"), Own())
    with pytest.raises(UserError, match=r"mine\.Own of your own: pass it"):
        export(run, tmp_path / "x.onnx")
    export(run, tmp_path / "x.onnx", Own())
    network = load_network(tmp_path / "x.onnx")
    assert network.logits(random_clip(network.spec, 2, np.random.default_rng(0))).shape == (2, 3)


def test_a_network_larger_than_a_file_of_onnx_is_refused(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("twostream.exporting.formats.onnx._LARGEST", 1000)
    with pytest.raises(UserError, match=r"larger than the 2 GB.*\.pt2 or \.safetensors"):
        export(exported / "temporal", tmp_path / "x.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_package_that_is_not_installed_is_named(package, exported, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(UserError, match=rf"{package}.*pip install 'twostream\[export\]'"):
        export(exported / "temporal", tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
