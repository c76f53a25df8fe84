"""What is done with exported files: predicted with, trained from, fused; and which are refused."""

import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from called_commands import sentence, succeed
from made_videos import MJPEG_AVI, moving_scene, write_video

from flowcache.errors import UserError
from twostream.data.clip_reader import Clip
from twostream.exporting.export import export
from twostream.nets.pretrained import WeightsError, read_state
from twostream.prediction.networks import load_network
from twostream.prediction.predict import Predictor
from twostream.runs.checkpoint import build_network, load_checkpoint, spec_of_weights
from twostream.runs.files import BEST, VALIDATION_SCORES
from twostream.runs.initial_weights import load_weights

pytestmark = pytest.mark.usefixtures("lasting_children")
STREAMS = ("spatial", "temporal")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "clip.avi"
    return write_video(path, moving_scene(8, 48, 64, 2.0, 0.5, seed=3), MJPEG_AVI)


# Prediction


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
@pytest.mark.parametrize(("rule", "weights"), [("softmax", (0.3,)), ("softmax", "fit")])
def test_exported_networks_predict_and_fuse_as_the_runs_do(ending, rule, weights, exported, video):
    how = {"rule": rule, "weights": weights, "clips": 2, "crops": 3}
    expected = Predictor([exported / stream for stream in STREAMS])(video, **how).best
    predictor = Predictor([exported / f"{stream}.{ending}" for stream in STREAMS])
    found = predictor(video, **how).best
    assert list(found) == [*STREAMS, "fused"]
    for name in found:
        assert dict(found[name]) == pytest.approx(dict(expected[name]), abs=1e-4)


def test_a_run_and_a_file_are_fused_like_any_two(exported, video):
    runs = [exported / "spatial", exported / "temporal.onnx"]
    expected = Predictor([exported / stream for stream in STREAMS])(video, clips=1).best
    assert dict(Predictor(runs)(video, clips=1).best["fused"]) == pytest.approx(
        dict(expected["fused"]), abs=1e-4
    )


def test_a_rule_that_is_fitted_needs_the_scores_beside_the_file(exported, tmp_path):
    for stream in STREAMS:
        shutil.copy(exported / f"{stream}.onnx", tmp_path)
    with pytest.raises(
        UserError, match=r"spatial\.onnx has no spatial\.onnx\.validation_scores\.npz"
    ):
        Predictor([tmp_path / f"{stream}.onnx" for stream in STREAMS]).rule("log_linear")


def test_the_scores_beside_a_file_are_those_of_the_run_it_was_exported_from(exported, tmp_path):
    output = tmp_path / "x.safetensors"
    scores = tmp_path / "x.safetensors.validation_scores.npz"
    export(exported / "temporal", output)
    assert scores.read_bytes() == (exported / "temporal" / VALIDATION_SCORES).read_bytes()
    (tmp_path / "run").mkdir()
    shutil.copy(exported / "temporal" / BEST, tmp_path / "run")
    export(tmp_path / "run", output)
    assert not scores.exists()


def test_the_command_exports_and_predicts(exported, video, tmp_path):
    words = succeed(f"export {exported / 'temporal'} -o {tmp_path / 'x.safetensors'}").splitlines()
    assert "int8 (B, 3, 2, 24, 24) to logits (B, 2)" in words[0]
    assert "differs from PyTorch by at most 0.0e+00" in words[1]
    assert len(words) == 2  # nothing of what the libraries say of themselves
    one, other = (
        succeed(f"predict {video} --run {run} --clips 1 --json")
        for run in (tmp_path / "x.safetensors", exported / "temporal")
    )
    assert one.replace('"x"', '"temporal"') == other
    assert "(-o)" in sentence(f"export {exported / 'temporal'} -o {tmp_path / 'x.pth'}")
    told = sentence(f"export {exported / 'temporal.onnx'} -o {tmp_path / 'y.safetensors'}")
    assert "temporal.onnx is exported already" in told


# Files that are refused


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "executed")


def strangers(path):
    """A valid graph of somebody else's."""
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    numbers = [value(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "g", numbers[:1], numbers[1:])
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def with_properties(path, **properties):
    """Our own graph, of which the file says something else."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)


def other_classes(path):
    spec = load_network(path).spec
    with_properties(path, twostream=replace(spec, classes=("a", "b", "c")).to_json())


def weights_elsewhere(path):
    """Our own graph, a weight of which lies in another file, as ONNX allows it."""
    model = onnx.load(path)
    weight = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    Path("private.bin").write_bytes(weight.raw_data)  # beside it, and in the current folder
    onnx.external_data_helper.set_external_data(weight, "private.bin")
    weight.ClearField("raw_data")
    del model.metadata_props[1:]  # of the properties only the network's own words
    path.write_bytes(model.SerializeToString())


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def trapped(path):
    path.write_bytes(pickle.dumps(Trap(path.with_name("witness"))))


def torch_trapped(path):
    torch.save({"state_dict": {"a": Trap(path.with_name("witness"))}}, path)


BROKEN = {
    "pickle": trapped,
    "torch": torch_trapped,
    "cut": cut,
    "flipped": flipped,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no network"),
    "missing": lambda path: path.unlink(),
}
BROKEN_ONNX = {
    "stranger's": strangers,
    "no json": lambda path: with_properties(path, twostream="{"),
    "another's json": lambda path: with_properties(path, twostream='{"classes": [1]}'),
    "deep json": lambda path: with_properties(path, twostream="[" * 100_000),
    "other classes": other_classes,
    "weights elsewhere": weights_elsewhere,
}


@pytest.mark.parametrize(
    ("ending", "spoil"),
    [
        *[("onnx", key) for key in (*BROKEN, *BROKEN_ONNX)],
        *[("safetensors", key) for key in BROKEN],
    ],
)
def test_a_file_that_is_none_of_ours_or_damaged_is_refused_and_nothing_in_it_runs(
    ending, spoil, exported, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"bad.{ending}"
    shutil.copy(exported / f"temporal.{ending}", path)
    (BROKEN | BROKEN_ONNX)[spoil](path)
    with pytest.raises(UserError, match=rf"bad\.{ending}.*(does not exist|is no )") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "witness").exists()
    assert "onnxruntime" not in capfd.readouterr().err  # its own words beside the sentence


def test_a_file_that_another_program_changed_is_read_where_it_names_no_digest(exported, tmp_path):
    path = tmp_path / "x.onnx"
    shutil.copy(exported / "temporal.onnx", path)
    (said,) = (p.value for p in onnx.load(path).metadata_props if p.key == "twostream")
    with_properties(path, twostream=said)
    assert load_network(path).spec == load_network(exported / "temporal.onnx").spec


def test_a_pt2_is_written_and_never_read(exported):
    told = sentence(f"predict x.avi --run {exported / 'temporal.pt2'}")
    assert "runs code that they may hold: name the run's folder" in told


# Training from it


def test_weights_are_loaded_from_safetensors_as_from_the_checkpoint(exported, spec):
    file = exported / "temporal.safetensors"
    trained, described = load_checkpoint(exported / "temporal" / BEST)
    fresh = build_network(described)
    load_weights(fresh, str(file))
    for name, value in trained.network.state_dict().items():
        assert torch.equal(fresh.network.state_dict()[name], value), name
    others = build_network(spec("temporal"))  # of three classes
    assert any("3 classes and not 2" in note for note in load_weights(others, str(file)))
    assert spec_of_weights(file) == described


def test_a_training_that_starts_from_it_may_not_test_on_what_it_has_learnt_from(
    exported, toy, tmp_path
):
    index = toy.ids()
    learnt = load_network(exported / "temporal").spec
    described = replace(learnt, split=replace(learnt.split, train=tuple(index)))
    model = build_network(described)
    from twostream.exporting.formats import safetensors

    safetensors.write(model, described, tmp_path / "w.safetensors")
    words = (
        "--model tiny --option width=8 --length 3 --crop 24 --epochs 1 --jobs 0 --stream temporal"
    )
    told = sentence(
        f"train {words} --cache {toy.root} --init {tmp_path / 'w.safetensors'} --run {tmp_path / 'r'}"
    )
    assert "has learnt from videos that this run tests on" in told


def test_damaged_weights_are_refused(exported, tmp_path):
    path = tmp_path / "w.safetensors"
    shutil.copy(exported / "temporal.safetensors", path)
    assert read_state(str(path))
    flipped(path)
    with pytest.raises(WeightsError, match="damaged"):
        read_state(str(path))


def test_a_network_in_memory_and_its_file_have_the_same_logits_to_the_last_bit(exported):
    from twostream.exporting.random_clips import random_clip

    run, file = (load_network(exported / name) for name in ("temporal", "temporal.safetensors"))
    clip = random_clip(run.spec, 3, np.random.default_rng(0))
    assert np.array_equal(run.logits(clip), file.logits(clip))


def test_the_program_of_the_page_on_exporting_reads_a_file(exported, root, monkeypatch, capsys):
    page = (root / "docs" / "export.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(exported)
    names = {}
    exec(compile(block, "docs/export.md", "exec"), names)
    clip = Clip(names["codes"][None], names["inputs"]["mean"], names["inputs"]["gain"])
    expected = load_network(exported / "temporal").logits(clip)
    np.testing.assert_allclose(names["logits"], expected, atol=1e-4)
    assert capsys.readouterr().out.strip() in ("calm", "wild")
