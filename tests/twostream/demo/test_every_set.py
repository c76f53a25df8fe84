import shlex

import pytest

from flowcache import plugins
from flowcache.errors import UserError
from flowcache.video.decode import Video
from flowcache.video.resize import Resize
from twostream import demo
from twostream.commands.extract_flow import extract_flow
from twostream.commands.train import train
from twostream.data.index import _UCF101_GROUP

pytestmark = pytest.mark.parametrize("name", demo.names())


@pytest.fixture
def module(name):
    return plugins.module(demo, name)


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_the_seed_decides_every_byte(module, tmp_path):
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        module.render(tmp_path / folder, videos_per_class=1, frames=3, size=64, seed=seed)
    a, b, c = (files(tmp_path / folder) for folder in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a)
    assert len(set(a.values())) == len(a)


def test_videos_have_the_frames_the_size_and_the_rate(module, tmp_path):
    module.render(tmp_path, videos_per_class=1, frames=7, size=70)
    for path in sorted(tmp_path.rglob("*.avi"))[::5]:
        with Video(path) as video:
            batches = [batch.rgb.shape for batch in video.frames(Resize())]
            assert video.rate == module.RATE
        assert sum(shape[0] for shape in batches) == 7
        assert {shape[1:] for shape in batches} == {(70, 70, 3)}


def test_groups_fill_up_before_a_second_clip(module, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "GROUPS", 2)
    module.render(tmp_path, videos_per_class=3, frames=2, size=64)
    for folder in tmp_path.iterdir():
        stems = sorted(p.stem for p in folder.iterdir())
        assert stems == [f"{folder.name}_{video}" for video in ("g01_c01", "g01_c02", "g02_c01")]
        assert len({_UCF101_GROUP.match(stem)[0] for stem in stems}) == 2


@pytest.mark.parametrize(
    "numbers", [{"videos_per_class": 0}, {"frames": 1}, {"size": 97}, {"size": 32}]
)
def test_numbers_that_make_no_video_are_refused(module, numbers, tmp_path):
    with pytest.raises(UserError, match="the demo cannot have"):
        module.render(tmp_path, **numbers)
    assert not list(tmp_path.iterdir())


def test_a_contact_sheet_of_nothing_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=r"holds no video"):
        demo.create(name).contact_sheet(tmp_path, tmp_path / "sheet.png")


def test_the_commands_know_the_options_that_they_are_told(name):
    chosen = demo.create(name)
    for command, words in ((train, chosen.train), (extract_flow, chosen.extract)):
        known = {word for each in command.params for word in (*each.opts, *each.secondary_opts)}
        assert {word for word in shlex.split(words) if word.startswith("--")} <= known
