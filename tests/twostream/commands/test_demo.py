from functools import partial

import pytest
from called_commands import run, succeed

from twostream.demo import discs, motion


@pytest.fixture
def small(monkeypatch):
    """Sets of a few classes, and one epoch."""
    monkeypatch.setattr(discs, "TEXTURES", ("dots",))
    monkeypatch.setattr(discs, "MOVEMENTS", ("rise", "grow"))
    monkeypatch.setattr(discs, "render", partial(discs.render, videos_per_class=5))
    monkeypatch.setattr(
        motion, "render", partial(motion.render, classes="MOTIN", videos_per_class=5)
    )
    for module in (discs, motion):
        monkeypatch.setattr(module, "EPOCHS", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"), [("demo", []), ("a demo", []), ("letters", ["--set", "motion"])]
)
def test_the_demo_says_the_four_commands_and_what_they_leave_is_there(small, name, words, tmp_path):
    printed = succeed(["demo", *words, str(tmp_path / name)])
    called = [line.split()[2] for line in printed.splitlines() if line.startswith("$ twostream")]
    assert called == ["extract-flow", "train", "train", "fuse"]
    runs = tmp_path / name / "runs"
    for stream in ("spatial", "temporal"):
        assert (runs / stream / "best.ckpt").is_file()
    assert (runs / "fused" / "confusion.png").is_file()
    assert (tmp_path / name / "videos.png").is_file()
    videos = {path.name for path in (tmp_path / name / "videos").iterdir()}
    assert videos == ({*"MOTIN"} if words else {"dots-rise", "dots-grow"})


def test_videos_alone_can_be_had_and_a_long_one(small, tmp_path):
    printed = succeed(["demo", "--only-videos", str(tmp_path / "demo")])
    assert "$ twostream" not in printed
    found = {path.name for path in (tmp_path / "demo").iterdir()}
    assert found == {"videos", "videos.png", "long.mp4", "long.csv"}


def test_a_folder_in_which_something_lies_is_left_alone(tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    result = run(["demo", str(tmp_path)])
    assert result.exit_code == 1
    assert "is not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["own.txt"]
