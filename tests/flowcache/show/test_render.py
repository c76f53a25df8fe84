import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from flowcache import algorithms
from flowcache.cache.entry import Entry
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.extraction import one
from flowcache.extraction.one import Job, extract_video
from flowcache.show import render
from flowcache.show.colour import side_by_side
from flowcache.show.files import write_video
from flowcache.show.render import field_of_video, show, survey

pytestmark = pytest.mark.usefixtures("lasting_children")

RATE = 12
STEPS = (2, 2, 2, 2, 4)  # pixels to the right; the last is the jump


@pytest.fixture(scope="module")
def recipe():
    return Recipe.of("dis", quantizer_step=1 / 8, jpeg_quality=95)


def write_moving(path, steps):
    """Frames of noise, 96 × 64, that moves to the right by these steps."""
    noise = np.random.default_rng(0).random((64, 160), np.float32)
    noise = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    world = np.repeat(noise.astype(np.uint8)[..., None], 3, axis=2)
    lefts = [0, *np.cumsum(steps)]
    write_video(path, [world[:, 64 - left : 160 - left] for left in lefts], RATE)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_moving(tmp_path_factory.mktemp("video") / "moves.mp4", STEPS)


@pytest.fixture(scope="module")
def entry_path(video, recipe):
    path = video.with_suffix(".h5")
    extract_video(Job(video, video.name, path), recipe)
    return path


def read_png(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


# Videos


@pytest.mark.parametrize("source", ["video", "entry_path"])
def test_a_video_of_all_fields(source, request, recipe, tmp_path):
    output = tmp_path / "new" / "out.mp4"
    show(request.getfixturevalue(source), output, recipe)
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
        assert stream.average_rate == RATE
    assert len(frames) == len(STEPS)
    assert frames[0].shape[0] % 2 == frames[0].shape[1] % 2 == 0
    width = frames[0].shape[1] // 2
    red, green, blue = frames[2][:100, width + 20 : -20].reshape(-1, 3).mean(0)
    assert red > green + 50  # it moves to the right
    assert red > blue + 50
    assert list(output.parent.iterdir()) == [output]


def test_a_still_video_has_a_scale(recipe, tmp_path):
    write_video(tmp_path / "still.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 3, RATE)
    show(tmp_path / "still.mp4", tmp_path / "out.png", recipe)
    assert tuple(read_png(tmp_path / "out.png")[5, -5]) == (255, 255, 255)


# Pictures of an entry


def test_a_picture_of_one_field_of_an_entry(entry_path, recipe, tmp_path):
    show(entry_path, tmp_path / "out.png", recipe, frame=2)
    with Entry(entry_path) as entry:
        scale, _ = survey(entry)
        expected = side_by_side(entry.rgb[2], entry.flow[2], scale)
    np.testing.assert_array_equal(read_png(tmp_path / "out.png"), expected)


def test_the_scale_is_of_the_fields_and_the_field_shown_is_not_the_jump(
    entry_path, recipe, tmp_path
):
    with Entry(entry_path) as entry:
        scale, lively = survey(entry)
        expected = side_by_side(entry.rgb[lively], entry.flow[lively], scale)
    assert scale == pytest.approx(4, abs=0.5)  # a fifth of the vectors are 4 px long
    assert lively != 4
    show(entry_path, tmp_path / "out.png", recipe)
    np.testing.assert_array_equal(read_png(tmp_path / "out.png"), expected)


# Pictures of a video


@pytest.mark.parametrize("frame", [0, 3])
def test_a_picture_of_a_video_shows_the_field_that_an_entry_of_it_holds(
    video, entry_path, recipe, frame
):
    rgb, flow = field_of_video(video, recipe, frame, lambda _: None)
    with Entry(entry_path) as entry:
        assert np.abs(rgb.astype(int) - entry.rgb[frame]).mean() < 2  # which is a JPEG
        error = np.abs(flow - entry.flow[frame])
        assert error.max() <= recipe.quantizer_step / 2 * 1.001


@pytest.mark.parametrize("frame", [None, 1])
def test_a_picture_of_a_video_is_that_field_beside_its_frame(video, recipe, tmp_path, frame):
    show(video, tmp_path / "out.png", recipe, frame=frame)
    rgb, flow = field_of_video(video, recipe, frame, lambda _: None)
    scale = float(f"{np.percentile(np.hypot(*flow[:, ::2, ::2]), 99):.2g}")
    expected = side_by_side(rgb, flow, scale)
    np.testing.assert_array_equal(read_png(tmp_path / "out.png"), expected)


def test_the_field_of_a_video_that_is_shown_moves_and_is_not_the_jump(recipe, tmp_path):
    steps = [0] * 8 + [3] * 3 + [0] * 8 + [12]
    path = write_moving(tmp_path / "rests.mp4", steps)
    rgb, flow = field_of_video(path, recipe, None, lambda _: None)
    assert rgb.shape == (64, 96, 3)
    assert np.median(flow[0]) == pytest.approx(3, abs=0.3)


def test_a_frame_step_and_a_size_hold_for_the_field_of_a_video_too(video):
    recipe = Recipe.of("dis", frame_step=2, size="32")
    rgb, flow = field_of_video(video, recipe, 1, lambda _: None)
    assert rgb.shape == (32, 48, 3)
    assert np.median(flow[0]) == pytest.approx(4 / 2, abs=0.3)  # two steps, at half the size


def test_the_flow_of_a_picture_is_computed_once_and_another_is_cheap(video, recipe, monkeypatch):
    calls = {}
    create = algorithms.create

    def counting(name, *args, **options):
        made = create(name, *args, **options)

        def compute(gray):
            calls.setdefault(name, []).append(gray.shape)
            return made(gray)

        compute.version = made.version
        return compute

    monkeypatch.setattr(algorithms, "create", counting)
    field_of_video(video, recipe, 3, lambda _: None)
    assert calls == {"dis": [(2, 64, 96)]}
    calls.clear()
    field_of_video(video, recipe, None, lambda _: None)
    assert calls.pop("dis") == [(2, 64, 96)]
    (cheap,) = calls.values()
    assert sum(t - 1 for t, *_ in cheap) == len(STEPS)
    assert max(min(size) for _, *size in cheap) <= 96


@pytest.mark.parametrize("output", ["out.png", "out.mp4"])
def test_progress_is_reported_while_a_videos_flow_is_computed(video, recipe, tmp_path, output):
    seen = []
    show(video, tmp_path / output, recipe, on_progress=lambda *numbers: seen.append(numbers))
    assert seen[-1] == (len(STEPS), len(STEPS))
    assert seen == sorted(seen)
    assert all(0 < done <= expected for done, expected in seen)


# What cannot be shown


@pytest.mark.parametrize(
    ("output", "frame", "message", "parameter"),
    [
        ("out.gif", None, r"out\.gif must end in \.mp4 or \.png", "output"),
        ("out", None, "must end in", "output"),
        ("out.png", 5, "frames 0 to 4, and none at 5", "frame"),
        ("out.png", -1, "none at -1", "frame"),
        ("out.mp4", 1, "shows all frames", "frame"),
    ],
)
@pytest.mark.parametrize("source", ["video", "entry_path"])
def test_what_cannot_be_drawn_is_one_sentence(
    request, source, recipe, tmp_path, output, frame, message, parameter
):
    path = request.getfixturevalue(source)
    with pytest.raises(UserError, match=message) as caught:
        show(path, tmp_path / output, recipe, frame=frame)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(str(path)) <= 1
    assert caught.value.parameter == parameter
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there(recipe, tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*none\.mp4"):
        show(tmp_path / "none.mp4", tmp_path / "out.png", recipe)


@pytest.mark.parametrize("name", ["text.mp4", "text.h5"])
@pytest.mark.parametrize("output", ["out.png", "out.mp4"])
def test_a_file_that_is_neither_video_nor_entry_is_named(name, output, recipe, tmp_path):
    (tmp_path / name).write_text("no video")
    with pytest.raises(UserError, match=name) as caught:
        show(tmp_path / name, tmp_path / output, recipe)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize(
    ("output", "frame"), [("out.png", None), ("out.png", 0), ("out.mp4", None)]
)
def test_a_video_of_one_frame_is_too_short_to_be_shown(recipe, tmp_path, output, frame):
    write_video(tmp_path / "one.mp4", [np.zeros((64, 64, 3), np.uint8)], RATE)
    with pytest.raises(UserError, match=r"one\.mp4: too short: it has 1 frame, and flow needs 2"):
        show(tmp_path / "one.mp4", tmp_path / output, recipe, frame=frame)


@pytest.mark.parametrize("output", ["out.png", "out.mp4"])
def test_a_video_that_kills_its_process_is_one_sentence(
    video, recipe, tmp_path, monkeypatch, output
):
    def die(*_):  # a local function is sent to the child as it is
        os.abort()

    monkeypatch.setattr(render, "field_of_video", die)
    monkeypatch.setattr(one, "extract_video", die)
    with pytest.raises(UserError, match=r"moves\.mp4: the process died of SIGABRT") as caught:
        show(video, tmp_path / output, recipe)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_video_itself_is_not_overwritten(video, recipe):
    before = video.read_bytes()
    with pytest.raises(UserError, match="overwrite"):
        show(video, Path(video.parent) / "." / video.name, recipe)
    assert video.read_bytes() == before
