import pytest
from called_commands import run, succeed

from twostream.demo import videos


@pytest.fixture
def small(monkeypatch):
    """A demo of two classes and one epoch."""
    render = videos.render
    monkeypatch.setattr(videos, "TEXTURES", ("dots",))
    monkeypatch.setattr(videos, "MOVEMENTS", ("rise", "grow"))
    monkeypatch.setattr(videos, "EPOCHS", 1)
    monkeypatch.setattr(videos, "render", lambda folder: render(folder, videos_per_class=5))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "demo",
        "a demo",
    ],
)
def test_the_demo_says_the_four_commands_and_what_they_leave_is_there(small, name, tmp_path):
    printed = succeed(["demo", str(tmp_path / name)])
    called = [line.split()[2] for line in printed.splitlines() if line.startswith("$ twostream")]
    assert called == ["extract-flow", "train", "train", "fuse"]
    runs = tmp_path / name / "runs"
    for stream in ("spatial", "temporal"):
        assert (runs / stream / "best.ckpt").is_file()
    assert (runs / "fused" / "confusion.png").is_file()
    assert (tmp_path / name / "videos.png").is_file()


def test_a_folder_in_which_something_lies_is_left_alone(tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    result = run(["demo", str(tmp_path)])
    assert result.exit_code == 1
    assert "is not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["own.txt"]
