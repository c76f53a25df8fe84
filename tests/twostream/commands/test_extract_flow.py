"""What `extract-flow` says of folders as they are, and where it is stopped."""

import os
import signal

import pytest
from called_commands import run, succeed
from made_videos import moving_scene, write_video

from flowcache.atomic import NoSpaceError
from flowcache.cache.store import FlowCache

pytestmark = pytest.mark.usefixtures("lasting_children")

EXTRACT = "extract-flow videos --algorithm farneback --jobs 1"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Two small videos of a class, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_video(tmp_path / "videos" / "run" / f"{name}.avi", moving_scene(5, 40, 56, 1, 0))
    return tmp_path


def one_line(output):
    return " ".join(output.split())


def test_videos_without_a_class_folder_are_noted_before_anything_is_done(folder):
    (folder / "videos" / "run" / "b.avi").rename(folder / "videos" / "b.avi")
    output = one_line(succeed(EXTRACT))
    note = (
        "1 of 2 videos lie in no class folder, the first is videos/b.avi: they get their flow, but to "
        "train arrange them as videos/<class>/<name>"
    )
    assert output.startswith(note)
    assert "2 videos done" in output
    assert "class folder" not in succeed(f"--quiet {EXTRACT}")


def test_what_is_left_out_kept_or_made_again_is_said_with_its_first_case(folder):
    succeed(EXTRACT)
    (folder / "videos" / "run" / "b.avi").rename(folder / "videos" / "run" / "c.avi")
    (folder / "videos" / "again").symlink_to(folder / "videos" / "run")
    entry = FlowCache.open("cache").path("run/a")
    entry.write_bytes(entry.read_bytes()[:-1])
    output = one_line(succeed(EXTRACT))
    assert "videos/again is a link to a folder that is taken at another place" in output
    assert "1 damaged entries were made again, the first was " in output
    assert "1 entries of the cache have no video in videos, the first is run/b: delete" in output
    assert FlowCache.open("cache").ids() == ["run/a", "run/b", "run/c"]


def test_a_lost_link_and_an_odd_name_are_failures_and_printed(folder):
    (folder / "videos" / "run" / "gone.avi").symlink_to(folder / "nothing")
    (folder / "videos" / "run" / "b.avi").rename(
        folder / "videos" / "run" / os.fsdecode(b"\xff.avi")
    )
    result = run(EXTRACT)
    assert result.exit_code == 1
    output = one_line(result.output)
    assert "1 videos done" in output
    assert "run/gone.avi: it is a link that leads nowhere" in output
    assert "run/\\xff.avi: its name is no UTF-8 text: rename it" in output
    assert "Traceback" not in output


def test_folders_whose_names_are_no_text_can_be_used_and_printed(folder):
    videos, cache = os.fsdecode(b"videos\xff"), os.fsdecode(b"cache\xfe")
    (folder / "videos").rename(folder / videos)
    (folder / videos / "c.avi").write_bytes(b"no video")
    result = run(["extract-flow", videos, "--cache", cache, "--algorithm", "farneback"])
    assert result.exit_code == 1
    assert "2 videos done" in result.output
    assert "the list is in cache\\xfe/failures.csv" in result.output


def stopping_after_the_first(monkeypatch, stop):
    """The extraction, in which `stop` is called when the first video has its entry."""
    from flowcache.extraction import api

    real = api.extract

    def extract(*args, on_outcome, **given):
        def ended(outcome):
            on_outcome(outcome)
            stop()

        return real(*args, on_outcome=ended, **given)

    monkeypatch.setattr(api, "extract", extract)


def interrupt():
    raise KeyboardInterrupt


def full():
    raise NoSpaceError("no space left for cache: make room")


@pytest.mark.own_children
@pytest.mark.parametrize(
    ("stop", "status"),
    [(interrupt, 130), (lambda: os.kill(os.getpid(), signal.SIGTERM), 143), (full, 1)],
    ids=["Ctrl-C", "SIGTERM", "full device"],
)
def test_where_it_is_stopped_it_says_what_is_kept_and_how_to_go_on(monkeypatch, stop, status):
    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        stopping_after_the_first(patch, stop)
        result = run(EXTRACT)
    assert result.exit_code == status
    assert (
        "stopped: 1 of 2 videos have their entries, which are kept; the same command goes on with the "
        "rest\n"
    ) in result.output
    assert ("no space left" in result.output) == (status == 1)
    assert signal.getsignal(signal.SIGTERM) == handler
    assert len(FlowCache.open("cache").ids()) == 1
    assert "1 kept from before" in succeed(EXTRACT)


def test_a_recipe_file_that_cannot_be_read_is_one_sentence(folder):
    (folder / "cache").mkdir()
    for content in (b"[" * 100_000, b"\xff", b"[]"):
        (folder / "cache" / "cache.json").write_bytes(content)
        result = run(EXTRACT)
        assert result.exit_code == 1
        assert "cache.json cannot be read: " in one_line(result.output)
        assert isinstance(result.exception, SystemExit)
