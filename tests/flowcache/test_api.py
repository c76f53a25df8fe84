"""The names of `import flowcache`, called as a program or a notebook calls them."""

import inspect
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import made_videos as made
import numpy as np
import pytest

import flowcache as fc
from flowcache import algorithms

pytestmark = pytest.mark.usefixtures("lasting_children")

STEP = fc.Recipe.bound / 127  # of the default quantiser, pixels


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """An algorithm of one's own, whose flow tells which two frames it saw."""

    gain: float = 0.05
    version = "7"

    def __call__(self, gray):
        mean = gray.mean((1, 2), dtype=np.float32) * np.float32(self.gain)
        pairs = np.stack([mean[:-1], mean[1:]], axis=1)[:, :, None, None]
        return fc.FlowStack(np.broadcast_to(pairs, (*pairs.shape[:2], *gray.shape[1:])).copy())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two small videos without loss, in colour."""
    root = tmp_path_factory.mktemp("api") / "videos"
    for name, dx in (("run/a.mkv", 1.3), ("jump/b.mkv", -2.0)):
        gray = made.moving_scene(6, 48, 64, dx, -0.7)
        tint = np.array([0.9, 0.8, 0.7]) * gray[..., None] + [10, 35, 70]
        rgb = np.clip(tint, 0, 255).astype(np.uint8)
        made.write_video(root / name, rgb, made.FFV1_MKV)
    return root


@pytest.fixture(scope="module")
def frames(folder):
    with fc.Video(folder / "run" / "a.mkv") as video:
        return video[:]


@pytest.fixture(scope="module")
def cache(folder):
    """Both videos extracted by `dis`, all else as it is by default."""
    root = folder.with_name("cache")
    summary = fc.extract(folder, root, algorithm="dis", jobs=1)
    assert not summary.failures
    return root


@pytest.fixture
def gray(frames):
    return np.stack([cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in frames])


# The package


def run(code, *arguments, **how):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **how)


def test_the_import_costs_nothing(root):
    heavy = ["numpy", "cv2", "torch", "h5py", "hdf5plugin", "av", "joblib", "numba", "cloudpickle"]
    code = (
        "import sys, flowcache; dir(flowcache); "
        f"print([m for m in {heavy} if m in sys.modules], "
        "[m for m in sys.modules if m.startswith('flowcache.')])"
    )
    found = run(code, cwd=root)
    assert (found.returncode, found.stdout.strip()) == (0, "[] []"), found.stderr


@pytest.mark.parametrize("name", fc.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(fc, name)
    assert value.__name__ == name
    assert value.__module__.startswith("flowcache.")
    assert inspect.getdoc(value)
    assert name in dir(fc)


def test_the_docs_name_every_public_name(root):
    page = (root / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in fc.__all__ if name not in page] == []


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'flowcache' has no attribute 'optical_flaw'"):
        _ = fc.optical_flaw
    with pytest.raises(ImportError):
        exec("from flowcache import optical_flaw")


def test_the_package_says_that_it_is_typed():
    assert files("flowcache").joinpath("py.typed").is_file()


# Flow of frames in memory


@pytest.mark.usefixtures("one_opencv_thread")
def test_rgb_gray_and_frames_give_the_flow_of_the_algorithm_called_directly(frames, gray):
    expected = algorithms.create("dis")(gray)
    assert expected.data.any()
    for given in (frames, frames.rgb, gray, list(gray), frames.rgb[:, :, ::-1][:, :, ::-1]):
        found = fc.optical_flow(given, "dis")
        assert isinstance(found, fc.FlowStack)
        np.testing.assert_array_equal(found.data, expected.data)


def test_the_default_is_tv_l1_in_pixels_to_the_right_and_down(frames, gray):
    flow = fc.optical_flow(frames, device="cpu")
    assert flow.data.shape == (5, 2, 48, 64)
    np.testing.assert_array_equal(flow.data, algorithms.create("tvl1")(gray).data)
    middle = np.median(flow.data[..., 12:-12, 12:-12], (0, 2, 3))
    np.testing.assert_allclose(middle, [1.3, -0.7], atol=0.1)


def test_options_reach_the_algorithm_that_is_named(frames, gray):
    flow = fc.optical_flow(frames, "tvl1", device="cpu", profile="fast", lambda_=0.05)
    made_by = algorithms.create("tvl1", profile="fast", **{"lambda": 0.05})
    np.testing.assert_array_equal(flow.data, made_by(gray).data)


def test_a_backend_can_be_named(frames, gray):
    flow = fc.optical_flow(frames, "farneback", backend="torch", device="cpu")
    expected = algorithms.create("farneback")(gray)
    assert np.median(np.abs(flow.data - expected.data)) < 0.05


@pytest.mark.usefixtures("one_opencv_thread")
def test_a_frame_step_pairs_each_frame_with_that_a_step_later(frames, gray):
    flow = fc.optical_flow(frames, "dis", frame_step=2)
    assert len(flow) == len(frames) - 2
    for t in range(len(flow)):
        expected = algorithms.create("dis")(gray[[t, t + 2]])[0]
        np.testing.assert_allclose(flow[t], expected, atol=1e-5)


def test_too_few_frames_give_an_empty_stack(frames):
    for few, step in ((frames.rgb[:1], 1), (frames.rgb[:0], 1), (frames, 6), (frames, 99)):
        flow = fc.optical_flow(few, "dis", frame_step=step)
        assert flow.data.shape == (0, 2, 48, 64)


def test_an_algorithm_of_ones_own_computes_in_memory(frames, gray):
    mine = Brightness(gain=0.02)
    np.testing.assert_array_equal(fc.optical_flow(frames, mine).data, mine(gray).data)
    two = fc.optical_flow(frames, mine, frame_step=2)
    means = gray.mean((1, 2), dtype=np.float32) * np.float32(0.02)
    np.testing.assert_array_equal(two.data[:, 0, 0, 0], means[:-2])
    np.testing.assert_array_equal(two.data[:, 1, 0, 0], means[2:])


@pytest.mark.parametrize("step", [1, 2])
def test_an_algorithm_of_ones_own_that_gives_something_else_is_told_what_it_must_give(frames, step):
    mistakes = {
        "FlowStack((": lambda gray: fc.FlowStack(np.zeros((len(gray), 2, 48, 64), np.float32)),
        "ndarray": lambda gray: np.zeros((len(gray) - 1, 2, 48, 64), np.float32),
        "NoneType": lambda gray: None,
    }
    for found, algorithm in mistakes.items():
        with pytest.raises(
            fc.UserError, match=r"must give a FlowStack of \(\d, 2, 48, 64\)"
        ) as caught:
            fc.optical_flow(frames, algorithm, frame_step=step)
        assert found in str(caught.value)


def test_frames_of_another_type_or_shape_are_a_value_error_that_says_what_is_wanted(frames):
    for wrong in (
        frames.rgb / 255,
        frames.rgb.astype(np.int16),
        frames.rgb[0, 0],
        frames.rgb[..., :2],
        np.moveaxis(frames.rgb, 3, 1),
        [],
        "v.avi",
    ):
        with pytest.raises(ValueError, match=r"frames must be uint8 \(T, H, W, 3\), RGB, or"):
            fc.optical_flow(wrong, "dis")
    with pytest.raises(ValueError, match="a frame step of 0 is no step"):
        fc.optical_flow(frames, "dis", frame_step=0)


@pytest.mark.parametrize(
    ("given", "message", "parameter"),
    [
        ({"algorithm": "raft"}, "'raft': choose from dis, farneback, tvl1", "algorithm"),
        ({"algorithm": "dis", "speed": 3}, "dis has no option 'speed': it has", "options"),
        ({"algorithm": "dis", "backend": "torch"}, "dis has no backend 'torch'", "backend"),
        ({"algorithm": "dis", "device": "tpu"}, "tpu is no device: write auto", "device"),
        ({"algorithm": "dis", "device": "cuda"}, "on cpu and not on cuda", "device"),
        ({"algorithm": "tvl1", "tau": -1.0}, "tvl1 cannot be made with these options", "options"),
        ({"algorithm": Brightness(), "gain": 3.0}, "options", "options"),
    ],
)
def test_what_there_is_not_is_a_sentence_for_the_user(frames, given, message, parameter):
    with pytest.raises(fc.UserError, match=message) as caught:
        fc.optical_flow(frames, **given)
    assert caught.value.parameter == parameter
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)  # flags are the words of the command line


# Extraction


def test_a_folder_is_extracted_and_the_cache_holds_the_flow_of_its_frames(cache, folder, frames):
    opened = fc.open_cache(cache)
    assert list(opened) == ["jump/b", "run/a"]
    assert opened.recipe == fc.Recipe.of("dis")
    with opened["run/a"] as entry:
        assert isinstance(entry.info, fc.EntryInfo)
        assert entry.info.source.name == "run/a.mkv"
        np.testing.assert_allclose(entry.times, frames.times)
        error = np.abs(entry.flow[:].data - fc.optical_flow(frames, "dis").data)
        assert error.max() <= STEP / 2 * 1.001
        assert np.abs(entry.rgb[:].astype(int) - frames.rgb).mean() < 3


def test_what_is_done_is_kept_and_everybody_is_told(cache, folder):
    outcomes, notes = [], []
    summary = fc.extract(
        folder, cache, algorithm="dis", jobs=1, on_outcome=outcomes.append, on_note=notes.append
    )
    assert isinstance(summary, fc.Summary)
    assert all(isinstance(outcome, fc.Outcome) for outcome in outcomes)
    assert [o.kind for o in outcomes] == ["kept", "kept"]
    assert summary.outcomes == outcomes
    assert notes[0].startswith("2 videos → ")


def test_text_and_paths_and_every_setting_do(folder, tmp_path):
    seen = []
    summary = fc.extract(
        str(folder),
        str(tmp_path / "cache"),
        algorithm="farneback",
        options={"winsize": 9},
        device="cpu",
        frame_step=2,
        size=(40, 30),
        bound=10,
        quantizer_step=0.25,
        jpeg_quality=70,
        jobs=2,
        on_progress=lambda job, done, expected: seen.append((job.name, done, expected)),
    )
    assert str(summary) == "2 videos done (8 fields), 0 kept from before, 0 without an entry"
    assert {("run/a.mkv", 4, 4), ("jump/b.mkv", 4, 4)} <= set(seen)
    opened = fc.open_cache(str(tmp_path / "cache"))
    recipe = opened.recipe
    assert (recipe.options["winsize"], recipe.frame_step, recipe.size) == (9, 2, "40x30")
    assert (recipe.bound, recipe.quantizer_step, recipe.jpeg_quality) == (10, 0.25, 70)
    assert fc.FlowCache.open(tmp_path / "cache").recipe == recipe
    with fc.Entry(str(opened.path("run/a"))) as text, fc.Entry(opened.path("run/a")) as path:
        assert text.info == path.info
        assert text.flow[:].data.shape == (4, 2, 30, 40)


def test_an_algorithm_of_ones_own_is_extracted_and_recorded_by_its_class(folder, tmp_path, frames):
    mine = Brightness(gain=0.02)
    summary = fc.extract(folder, tmp_path / "cache", algorithm=mine, jobs=1)
    assert not summary.failures
    opened = fc.open_cache(tmp_path / "cache")
    assert opened.recipe.algorithm == f"{Brightness.__module__}.Brightness"
    assert (opened.recipe.algorithm_version, opened.recipe.options) == ("7", {"gain": 0.02})
    with opened["run/a"] as entry:
        error = np.abs(entry.flow[:].data - fc.optical_flow(frames, mine).data)
        assert error.max() <= STEP / 2 * 1.001
    with pytest.raises(fc.UserError, match=r"gain 0\.02, not 0\.03"):
        fc.extract(folder, tmp_path / "cache", algorithm=Brightness(gain=0.03), jobs=1)
    with pytest.raises(fc.UserError, match="options"):
        fc.extract(folder, tmp_path / "other", algorithm=mine, options={"gain": 0.03}, jobs=1)


@dataclass(frozen=True, kw_only=True)
class OneFieldTooMany:
    """Forgets that T frames have T − 1 fields."""

    version = "1"

    def __call__(self, gray):
        return fc.FlowStack(np.zeros((len(gray), 2, *gray.shape[1:]), np.float32))


def test_no_entry_is_written_of_what_an_algorithm_must_not_give(folder, tmp_path):
    summary = fc.extract(folder, tmp_path / "cache", algorithm=OneFieldTooMany(), jobs=1)
    assert [o.kind for o in summary.failures] == ["failed", "failed"]
    assert "must give a FlowStack of (5, 2, 48, 64)" in summary.failures[0].reason
    assert list(fc.open_cache(tmp_path / "cache")) == []


def test_what_has_no_version_cannot_be_recorded(folder, tmp_path):
    with pytest.raises(fc.UserError, match="has no version, which a cache records: give it one"):
        fc.extract(folder, tmp_path / "cache", algorithm=lambda gray: gray, jobs=1)


SCRIPT = """
import sys
from dataclasses import dataclass
import numpy as np
import flowcache as fc

@dataclass(frozen=True, kw_only=True)
class Constant:
    dx: float = 1.0
    version = "1"

    def __call__(self, gray):
        flow = np.zeros((len(gray) - 1, 2, *gray.shape[1:]), np.float32)
        flow[:, 0] = self.dx
        return fc.FlowStack(flow)

summary = fc.extract(sys.argv[1], sys.argv[2], algorithm=Constant(dx=-3.0), jobs=2)
assert not summary.failures, summary.failures
"""


def test_a_class_of_a_script_or_a_notebook_is_extracted_although_no_child_can_import_it(
    folder, tmp_path
):
    script = tmp_path / "my script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(folder), str(tmp_path / "cache")]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    opened = fc.open_cache(tmp_path / "cache")
    assert opened.recipe.algorithm == "__main__.Constant"
    with opened["jump/b"] as entry:
        np.testing.assert_allclose(entry.flow_means[:, 0], -3.0, atol=STEP / 2)
        assert not entry.flow_means[:, 1].any()


@pytest.mark.parametrize(
    ("given", "message", "parameter"),
    [
        ({"algorithm": "raft"}, "'raft': choose from", "algorithm"),
        ({"options": {"speed": 3}}, "has no option 'speed'", "options"),
        ({"backend": "abacus"}, "has no backend 'abacus'", "backend"),
        ({"device": "tpu"}, "is no device", "device"),
        ({"size": "big"}, "'big' is no size", "size"),
        ({"frame_step": 0}, "is no step", "frame_step"),
        ({"jpeg_quality": 101}, "not within 1 to 100", "jpeg_quality"),
        ({"quantizer_step": 30.0}, "leave no code", "quantizer_step"),
        ({"joblib_backend": "x"}, "joblib has no backend 'x'", "joblib_backend"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_sentence(
    folder, tmp_path, given, message, parameter
):
    with pytest.raises(fc.UserError, match=message) as caught:
        fc.extract(folder, tmp_path / "cache", **{"algorithm": "dis"} | given)
    assert caught.value.parameter == parameter
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)


def test_a_folder_or_a_cache_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(fc.UserError, match="absent is no folder"):
        fc.extract(tmp_path / "absent", tmp_path / "cache")
    for absent in (tmp_path / "absent", str(tmp_path / "absent")):
        with pytest.raises(fc.UserError, match="absent is no flow cache"):
            fc.open_cache(absent)
    assert not (tmp_path / "cache").exists()


def test_a_broken_video_is_an_outcome_with_its_reason(folder, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.avi").write_bytes(b"no video")
    summary = fc.extract(tmp_path / "videos", tmp_path / "cache", algorithm="dis", jobs=1)
    (failure,) = summary.failures
    assert (failure.job.name, failure.kind) == ("a.avi", "broken")
    assert "not a readable video" in failure.reason
    with pytest.raises(fc.BrokenVideoError, match="not a readable video"):
        fc.Video(tmp_path / "videos" / "a.avi")


# What belongs to the program that calls


@pytest.fixture
def _two_opencv_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("_two_opencv_threads")
def test_no_call_changes_how_many_threads_opencv_has(folder, cache, frames, tmp_path):
    def fails(_):
        raise StopIteration

    calls = {
        "optical_flow": lambda: fc.optical_flow(frames, "dis"),
        "optical_flow of tvl1": lambda: fc.optical_flow(frames, "tvl1", device="cpu"),
        "optical_flow that fails": lambda: fc.optical_flow(frames, fails),
        "extract": lambda: fc.extract(folder, cache, algorithm="dis", jobs=2),
        "extract anew": lambda: fc.extract(folder, tmp_path / "c", algorithm="dis", jobs=2),
        "open_cache": lambda: list(fc.open_cache(cache).infos()),
        "verify": lambda: list(fc.open_cache(cache).verify(jobs=1)),
        "Entry": lambda: (
            fc.open_cache(cache)["run/a"].flow[:],
            fc.open_cache(cache)["run/a"].rgb[0],
        ),
        "Video": lambda: fc.Video(folder / "run" / "a.mkv")[1:3],
        "Recipe": lambda: fc.Recipe.of("dis").create_algorithm(),
        "flow_to_color": lambda: fc.flow_to_color(np.zeros((2, 4, 4), np.float32), 1.0),
    }
    for name, call in calls.items():
        with suppress(StopIteration):
            call()
        assert cv2.getNumThreads() == 2, name


def test_a_path_of_any_kind_may_lead_to_a_video(folder):
    path = Path(folder) / "run" / "a.mkv"
    for same in (path, str(path)):
        with fc.Video(same) as video:
            assert len(video) == 6
