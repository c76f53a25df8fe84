import pickle
from pathlib import Path

import pytest
import torch

from flowcache.errors import UserError
from twostream.data.clip_spec import ClipSpec
from twostream.data.splits import Split
from twostream.runs.checkpoint import Spec, add_spec, load_checkpoint


@pytest.fixture
def spec(plain_recipe):
    def make(**changes):
        values = {
            "stream": "temporal",
            "model": "tiny",
            "options": {"width": 4},
            "classes": ("run", "walk fast"),
            "clip": ClipSpec(length=3, crop=16, scales=(1.0, 0.75)),
            "recipe": plain_recipe(),
            "split": Split(("run/a", "walk fast/b"), ("run/c",), ("run/d",)),
        }
        return Spec(**values | changes)

    return make


def save(path, spec, **changes):
    torch.manual_seed(3)
    model = spec.build()
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    content = {"epoch": 2, "state_dict": state}
    add_spec(content, spec)
    torch.save(content | changes, path)
    return model


@pytest.mark.parametrize("stream", ["spatial", "temporal"])
@pytest.mark.parametrize("model", ["tiny", "resnet"])
def test_a_checkpoint_rebuilds_its_network_and_says_what_it_is(tmp_path, spec, stream, model):
    own = spec(stream=stream, model=model, options={"dropout": 0.4})
    network = save(tmp_path / "c.ckpt", own).eval()
    again, read = load_checkpoint(tmp_path / "c.ckpt")
    assert read == own
    assert not again.training
    channels = own.values.channels
    inputs = (
        torch.randint(0, 100, (2, 3, channels, 40, 40), dtype=torch.uint8),
        torch.randn(2, 3, channels),
        torch.ones(2, channels),
    )
    with torch.no_grad():
        assert torch.equal(again(*inputs), network(*inputs))


def test_a_spec_is_plain_data_that_a_safe_reader_takes(tmp_path, spec):
    torch.save(spec().to_plain(), tmp_path / "spec.pt")
    assert Spec.from_plain(torch.load(tmp_path / "spec.pt", weights_only=True)) == spec()


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "executed")


def test_a_checkpoint_that_would_execute_code_is_refused_and_nothing_runs(tmp_path, spec):
    save(tmp_path / "c.ckpt", spec(), extra=Trap(str(tmp_path / "witness")))
    with pytest.raises(UserError, match=r"c\.ckpt"):
        load_checkpoint(tmp_path / "c.ckpt")
    assert not (tmp_path / "witness").exists()


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_checkpoint(tmp_path / "c.ckpt")


def cut(path):
    path.write_bytes(path.read_bytes()[:-500])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no checkpoint"),
        cut,
        lambda path: path.write_bytes(pickle.dumps({"a": 1})),
        lambda path: torch.save({"state_dict": {}}, path),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save(torch.zeros(3), path),
        lambda path: torch.save(
            {k: v for k, v in torch.load(path).items() if k != "state_dict"}, path
        ),
        lambda path: torch.save(torch.load(path) | {"state_dict": {}}, path),
        lambda path: torch.save(torch.load(path) | {"twostream": {"stream": "audio"}}, path),
        lambda path: torch.save(torch.load(path) | {"twostream": None}, path),
        lambda path: torch.save(
            torch.load(path) | {"twostream": torch.load(path)["twostream"] | {"stream": "audio"}},
            path,
        ),
        lambda path: torch.save(
            torch.load(path) | {"twostream": torch.load(path)["twostream"] | {"split": None}}, path
        ),
    ],
    ids=[
        "empty",
        "text",
        "cut",
        "pickle",
        "of another program",
        "list",
        "tensor",
        "no weights",
        "empty weights",
        "incomplete",
        "nothing",
        "unknown stream",
        "no split",
    ],
)
def test_anything_else_is_refused_by_its_name_in_one_sentence(tmp_path, spec, spoil):
    save(tmp_path / "c.ckpt", spec())
    spoil(tmp_path / "c.ckpt")
    with pytest.raises(UserError, match=r"c\.ckpt") as caught:
        load_checkpoint(tmp_path / "c.ckpt")
    assert "\n" not in str(caught.value)


def test_a_model_that_this_version_lacks_is_named(tmp_path, spec):
    save(tmp_path / "c.ckpt", spec())
    content = torch.load(tmp_path / "c.ckpt")
    content["twostream"]["model"] = "s3d"
    torch.save(content, tmp_path / "c.ckpt")
    with pytest.raises(UserError, match="s3d"):
        load_checkpoint(tmp_path / "c.ckpt")


def test_a_checkpoint_from_when_the_crop_was_called_size_still_loads(tmp_path, spec):
    network = save(tmp_path / "c.ckpt", spec())
    content = torch.load(tmp_path / "c.ckpt", weights_only=True)
    clip = content["twostream"]["clip"]
    clip["size"] = clip.pop("crop")
    del content["twostream"]["pretraining"]
    torch.save(content, tmp_path / "c.ckpt")
    again, read = load_checkpoint(tmp_path / "c.ckpt")
    assert read == spec()
    assert read.clip.crop == 16
    states = (model.state_dict() for model in (network, again))
    for one, other in zip(*(state.items() for state in states), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
