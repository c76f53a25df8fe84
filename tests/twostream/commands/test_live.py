import json
import sys
from functools import partial
from pathlib import Path

import pytest
from called_commands import run, sentence
from made_sources import MadeClock
from made_videos import MJPEG_AVI, moving_scene, write_video
from stub_networks import CLASSES, stub_network

from flowcache.cache.recipe import Recipe
from flowcache.video.decode import Video
from twostream.live.pipeline import Live
from twostream.live.window import Window


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """The words that name two runs, whose networks are stubs; no time passes and no frame is dropped."""
    recipe = Recipe.of("farneback", size="24", bound=16.0)
    networks = {stream: stub_network(stream, recipe) for stream in ("spatial", "temporal")}
    monkeypatch.setattr(
        "twostream.prediction.predict.load_network", lambda folder, _: networks[folder.name]
    )
    kept = partial(Live, clock=MadeClock(), keep_all=True)
    monkeypatch.setattr("twostream.live.pipeline.Live", kept)
    return [word for name in networks for word in ("--run", str(tmp_path / name))]


@pytest.fixture
def clip(tmp_path):
    return str(write_video(tmp_path / "clip.avi", moving_scene(30, 48, 64, 1, 0), MJPEG_AVI))


def test_each_label_is_a_line_of_json_and_the_rest_is_told_on_standard_error(runs, clip):
    result = run(["live", "--source", clip, *runs, "--top", "2", "--algorithm", "dis"])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["frame"] for line in lines] == list(range(3, 30))
    for line in lines:
        assert list(line) == ["time", "frame", "labels", "latency", "dropped"]
        assert line["time"] == pytest.approx(line["frame"] / 25, abs=1e-3)
        assert list(line["labels"]) == ["spatial", "temporal", "fused"]
        for best in line["labels"].values():
            assert len({one["class"] for one in best} & set(CLASSES)) == 2
            assert best[0]["probability"] >= best[1]["probability"]
        assert line["latency"] >= 0
    told = result.stderr
    assert "trained on flow by farneback, and given flow by dis" in told
    assert "1.2 s: 25.9 frames/s, 23.3 labels/s" in told
    assert "0 of 30 frames dropped" in told


def test_it_ends_after_some_seconds_and_may_be_quiet(runs, clip):
    result = run(["-q", "live", "--source", clip, *runs, "--seconds", "1e-9"])
    assert (result.exit_code, result.output) == (0, "")


def test_control_c_ends_it_well(runs, clip, monkeypatch):
    printed = []

    def prints(line, **_):
        printed.append(line)
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", prints)
    result = run(["live", "--source", clip, *runs])
    assert result.exit_code == 0
    assert len(printed) == 1
    assert "labels/s" in result.stderr


def test_a_source_that_breaks_is_told_behind_its_labels(runs, clip, tmp_path):
    cut = tmp_path / "cut.avi"
    content = Path(clip).read_bytes()
    cut.write_bytes(content[: len(content) * 2 // 3])
    result = run(["live", "--source", str(cut), *runs])
    assert result.exit_code == 1
    assert result.stdout
    assert "cut.avi: " in result.stderr
    assert "frames/s" in result.stderr


def test_a_source_that_ends_before_its_first_label_is_told(runs, tmp_path):
    short = write_video(tmp_path / "short.avi", moving_scene(3, 48, 64, 1, 0), MJPEG_AVI)
    result = run(["live", "--source", str(short), *runs])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "short.avi ended after 3 frames, before there was a clip" in result.stderr


@pytest.mark.parametrize(
    "name",
    ["ucf101/videos/Archery/v_Archery_g08_c01.avi", "odd/nasa_13013_rotated.mp4", "odd/tree.avi"],
)
def test_real_videos_are_labelled(runs, data, name):
    result = run(["live", "--source", str(data / name), *runs])
    assert result.exit_code == 0, result.output
    labels = [json.loads(line) for line in result.stdout.splitlines()]
    with Video(data / name) as video:
        assert [label["frame"] for label in labels] == list(range(3, len(video)))
    assert sum(one["probability"] for one in labels[0]["labels"]["fused"]) == pytest.approx(
        1, abs=1e-5
    )


@pytest.mark.parametrize(
    ("name", "labelled", "told"),
    [("corrupted.mp4", True, "corrupted.mp4: "), ("bad_video.mp4", False, "not a readable video")],
)
def test_real_files_that_are_damaged_are_told(runs, data, name, labelled, told):
    result = run(["live", "--source", str(data / "odd" / name), *runs])
    assert result.exit_code == 1
    assert bool(result.stdout) == labelled
    assert told in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--source nowhere.mp4", "nowhere.mp4 is no file"),
        ("--source {clip} --option profile=fast", "the options are of no algorithm: name one"),
        ("--source {clip} --algorithm raft", "raft"),
        ("--source {clip} --weights 2", "weight"),
        ("--source {clip} --algorithm tvl1 --option speed=1", "has no option 'speed'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(runs, clip, words, told):
    assert told in sentence(["live", *words.format(clip=clip).split(), *runs])


def test_a_run_may_be_a_file(runs, clip, tmp_path):
    (tmp_path / "spatial").write_bytes(b"a network that was exported")
    assert run(["live", "--source", clip, *runs[:2]]).exit_code == 0


@pytest.mark.parametrize("option", ["--over", "--seconds"])
@pytest.mark.parametrize("value", ["0", "nan", "inf", "x"])
def test_a_time_that_is_none_is_refused(runs, clip, option, value):
    assert option in sentence(["live", "--source", clip, *runs, option, value])


def test_an_algorithm_that_nothing_would_use_is_refused(runs, clip):
    told = sentence(["live", "--source", clip, *runs[:2], "--algorithm", "dis"])
    assert "no run reads flow" in told
    assert "--algorithm" in told


def test_a_run_that_is_not_there_is_refused(clip, tmp_path):
    assert "train that stream first" in sentence(
        ["live", "--source", clip, "--run", str(tmp_path / "spatial")]
    )


def test_where_there_is_no_display_a_window_is_refused(runs, clip, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    told = sentence(["live", "--source", clip, *runs, "--window"])
    assert "no display" in told or "no tkinter" in told
    assert "lines of JSON (--window)" in told


def test_a_window_shows_the_labels_where_there_is_a_display(runs, clip, monkeypatch):
    tkinter = pytest.importorskip("tkinter")
    try:
        tkinter.Tk().destroy()
    except tkinter.TclError:
        pytest.skip("there is no display")
    shown = []
    show = Window.show
    monkeypatch.setattr(Window, "show", lambda self, *one: (shown.append(one), show(self, *one)))
    result = run(["live", "--source", clip, *runs, "--window"])
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert len(shown) == 27
    picture, words = shown[-1]
    assert picture.shape[1] == 640
    assert words.endswith(" ms")


class MadeTk:
    """Stands for the library, and for a window that its user soon closes."""

    class TclError(Exception):
        pass

    def __init__(self):
        self.shown, self.handlers = 0, {}
        self.Tk = self.Label = lambda *_, **__: self

    def protocol(self, name, handler):
        self.handlers[name] = handler

    def configure(self, image):
        self.shown += 1
        if self.shown == 3:
            self.handlers["WM_DELETE_WINDOW"]()

    def title(self, _):
        pass

    def bind(self, *_):
        pass

    def pack(self):
        pass

    def update(self):
        pass


class MadeImageTk:
    """What makes pictures for a window."""

    @staticmethod
    def PhotoImage(image, master):  # noqa: N802
        return image


def test_closing_the_window_ends_it(runs, clip, monkeypatch):
    tk = MadeTk()
    monkeypatch.setitem(sys.modules, "tkinter", tk)
    monkeypatch.setitem(sys.modules, "PIL.ImageTk", MadeImageTk)
    monkeypatch.setattr("PIL.ImageTk", MadeImageTk, raising=False)
    result = run(["live", "--source", clip, *runs, "--window"])
    assert result.exit_code == 0, result.output
    assert tk.shown == 3
    assert "labels/s" in result.stderr
