import pickle
from pathlib import Path

import pytest
import torch
from made_networks import build, on_meta
from torch import nn

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.data.clip_spec import ClipSpec
from twostream.data.splits import Split
from twostream.nets.pretrained import Pretrained
from twostream.runs.checkpoint import add_spec, build_network, load_checkpoint
from twostream.runs.spec import Spec


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
    model = build_network(spec)
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


# What the published weights of each expect of a gray level p: (p / 255 − mean) / std.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
MINUS_ONE_TO_ONE = ((0.5,) * 3, (0.5,) * 3)
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)
OTHERS = {
    "c3d": ((101.41 / 255, 97.66 / 255, 90.25 / 255), (1 / 255,) * 3),
    "efficientnet_lite": LITE,
    "i3d": MINUS_ONE_TO_ONE,
    "mc3": KINETICS,
    "mvit": ((0.45,) * 3, (0.225,) * 3),
    "r2plus1d": KINETICS,
    "r3d": KINETICS,
    "timesformer": ((0.45,) * 3, (0.225,) * 3),
    "vivit": MINUS_ONE_TO_ONE,
}
WITH_OPTIONS = [(name, {}, OTHERS.get(name, IMAGENET)) for name in plugins.names(models)] + [
    ("inflate", {"backbone": "efficientnet_lite0"}, LITE),
    ("single_frame", {"backbone": "resnet50"}, IMAGENET),
    ("vivit", {"encoder": "joint"}, MINUS_ONE_TO_ONE),
]


class Echo(nn.Module):
    def forward(self, clip):
        return clip


@pytest.mark.parametrize(("name", "options", "expected"), WITH_OPTIONS, ids=str)
def test_frames_become_what_a_models_published_weights_expect(spec, name, options, expected):
    door = build_network(spec(stream="spatial"), on_meta(build, name, **options))
    door.network = Echo()
    levels = torch.arange(256, dtype=torch.uint8).view(1, 256, 1, 1, 1).expand(1, 256, 3, 1, 1)
    mean, std = (torch.tensor(values) for values in expected)
    torch.testing.assert_close(
        door(levels).view(256, 3), (torch.arange(256)[:, None] / 255 - mean) / std
    )


def test_flow_stays_flow_whatever_the_weights_expect_of_colours(spec, plain_recipe):
    door = build_network(
        spec(recipe=plain_recipe(quantizer_step=0.5)), on_meta(build, "i3d", channels=2)
    )
    door.network = Echo()
    clip = torch.arange(-8, 8, dtype=torch.int8).view(1, 8, 2, 1, 1)
    assert torch.equal(door(clip), clip * 0.5)


class Pretrainable(Echo):
    pretrained = Pretrained(first_layer="", head="", mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.4))

    def pretrainer(self):
        return Echo()


def test_what_pretrains_a_model_sees_frames_as_the_model_does(spec):
    white = torch.full((1, 1, 3, 1, 1), 255, dtype=torch.uint8)
    for pretraining in (False, True):
        door = build_network(spec(stream="spatial", pretraining=pretraining), Pretrainable())
        assert door(white).flatten().tolist() == pytest.approx([5, 2.5, 1.25])


def test_a_network_of_ones_own_sees_frames_as_imagenets_do(spec):
    door = build_network(spec(stream="spatial", model="mine.Echo"), Echo())
    black = door(torch.zeros(1, 1, 3, 1, 1, dtype=torch.uint8)).flatten()
    assert black.tolist() == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])


def test_an_older_checkpoint_keeps_the_normalisation_that_it_learnt_with(tmp_path, spec):
    own = spec(stream="spatial")
    save(tmp_path / "c.ckpt", own)
    content = torch.load(tmp_path / "c.ckpt", weights_only=True)
    older = {"model.scale": torch.rand(3, 1, 1), "model.shift": torch.rand(3, 1, 1)}
    torch.save(content | {"state_dict": content["state_dict"] | older}, tmp_path / "c.ckpt")
    network, read = load_checkpoint(tmp_path / "c.ckpt")
    network.set_scale(read.values.scale(read.recipe))  # as before clips are scored
    assert torch.equal(network.scale, older["model.scale"])
    assert torch.equal(network.shift, older["model.shift"])


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
    with pytest.raises(UserError, match=r"c\.ckpt.*could execute code$"):
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
        lambda path: path.write_bytes(pickle.dumps(Trap(str(path.with_name("witness"))))),
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
        "pickled code",
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
def test_anything_else_is_refused_by_its_name_in_one_sentence(tmp_path, spec, spoil, recwarn):
    save(tmp_path / "c.ckpt", spec())
    spoil(tmp_path / "c.ckpt")
    with pytest.raises(UserError, match=r"c\.ckpt") as caught:
        load_checkpoint(tmp_path / "c.ckpt")
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)  # PyTorch's words on how to execute it
    assert not recwarn.list


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
