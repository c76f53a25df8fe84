import colorsys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from flowcache.cache.entry import Entry
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.extraction.one import Job, extract_video
from flowcache.show import render
from flowcache.show.render import flow_to_color, legend, show, side_by_side, write_video

RATE = 12


@pytest.fixture(scope="module")
def recipe():
    return Recipe.of(
        "dis", {}, frame_step=1, size="256", bound=20.0, quantizer_step=1 / 8, jpeg_quality=95
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Six frames of noise, 96 × 64, that moves 2 px to the right per frame; the fifth step is 4 px."""
    noise = np.random.default_rng(0).random((64, 120), np.float32)
    noise = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    world = np.repeat(noise.astype(np.uint8)[..., None], 3, axis=2)
    path = tmp_path_factory.mktemp("video") / "moves.mp4"
    frames = [world[:, 24 - left : 120 - left] for left in (0, 2, 4, 6, 8, 12)]
    write_video(path, frames, RATE)
    return path


@pytest.fixture(scope="module")
def entry_path(video, recipe):
    path = video.with_suffix(".h5")
    extract_video(Job(video, video.name, path), recipe)
    return path


def color_of(dx, dy, scale=1.0):
    flow = np.array([dx, dy], np.float32).reshape(2, 1, 1)
    return tuple(int(c) for c in flow_to_color(flow, scale)[0, 0])


def hue_of(dx, dy):
    return colorsys.rgb_to_hsv(*color_of(dx, dy))[0] * 360


# The wheel has 15 hues from red to yellow, 6 to green, 4 to cyan, 11 to blue, 13 to magenta and 6 back
# to red. A direction's place is its angle's share of 54: right 0, down 13.5, left 27, up 40.5.
@pytest.mark.parametrize(
    ("direction", "degrees"),
    [
        ((1, 0), 0),
        ((0, 1), 13.5 / 15 * 60),
        ((-1, 0), 180 + (27 - 25) / 11 * 60),
        ((0, -1), 240 + (40.5 - 36) / 13 * 60),
        ((np.cos(0.5), np.sin(0.5)), 0.5 / (2 * np.pi) * 54 / 15 * 60),
    ],
)
def test_a_direction_has_the_hue_of_the_published_wheel(direction, degrees):
    assert hue_of(*direction) == pytest.approx(degrees, abs=2.5)


def test_the_wheel_has_55_hues_of_full_saturation():
    wheel = render._WHEEL
    assert wheel.shape == (55, 3)
    np.testing.assert_array_equal(wheel.max(1), 1)
    np.testing.assert_array_equal(wheel.min(1), 0)
    assert len(np.unique(wheel, axis=0)) == 55


def test_no_motion_is_white_and_the_sign_of_zero_does_not_matter():
    assert color_of(0, 0) == (255, 255, 255)
    assert color_of(-0.0, -0.0) == (255, 255, 255)
    assert color_of(1, 0.0) == color_of(1, -0.0) == (255, 0, 0)


def test_saturation_grows_with_length_up_to_the_scale():
    # To the right, green and blue fall linearly from white to red.
    assert color_of(2, 0, scale=8) == (255, 191, 191)
    assert color_of(4, 0, scale=8) == (255, 127, 127)
    assert color_of(8, 0, scale=8) == (255, 0, 0)


def test_beyond_the_scale_it_darkens():
    assert color_of(8.01, 0, scale=8) == (191, 0, 0)
    assert color_of(80, 0, scale=8) == (191, 0, 0)


def test_the_scale_is_a_unit():
    flow = np.random.default_rng(1).normal(size=(2, 9, 7)).astype(np.float32)
    np.testing.assert_array_equal(flow_to_color(flow, 2.0), flow_to_color(flow * 4, 8.0))


@pytest.mark.parametrize("value", [np.nan, 1.1e9, np.inf, -np.inf])
def test_unknown_flow_is_black(value):
    assert color_of(value, 0) == color_of(0, value) == (0, 0, 0)
    assert color_of(9e8, 0) != (0, 0, 0)


@pytest.mark.parametrize("scale", [0, -1, np.nan])
def test_a_scale_is_above_zero(scale):
    with pytest.raises(ValueError, match="scale"):
        flow_to_color(np.zeros((2, 4, 4), np.float32), scale)


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(2, H, W\)"):
        flow_to_color(np.zeros((4, 4, 2), np.float32), 1)


@pytest.mark.parametrize("size", [40, 101])
@pytest.mark.parametrize("scale", [0.7, 12.0])
def test_the_legend_shows_the_colours_of_flow(scale, size):
    drawn = legend(scale, size)
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] == size < drawn.shape[1]
    radius, centre = size * 7 / 16, size / 2 - 0.5
    for x, y in np.random.default_rng(2).integers(0, size, (200, 2)):
        offset = np.array([x - centre, y - centre]) / radius
        if np.hypot(*offset) < 0.9:
            expected = color_of(*offset * scale, scale)
            np.testing.assert_allclose(drawn[y, x].astype(int), expected, atol=1)
        elif np.hypot(*offset) > 1.1:
            assert tuple(drawn[y, x]) == (255, 255, 255)


def test_the_legend_tells_its_scale():
    assert (legend(2.0, 60)[:, 60:] < 128).any()
    assert legend(2.0, 60).shape != legend(12.5, 60).shape


def test_side_by_side_holds_the_frame_the_flow_and_the_legend():
    rng = np.random.default_rng(3)
    rgb = rng.integers(0, 255, (241, 331, 3), np.uint8)
    flow = np.full((2, 241, 331), 1.0, np.float32)
    picture = side_by_side(rgb, flow, 2.0)
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    np.testing.assert_array_equal(picture[:241, :331], rgb)
    right = picture[:241, -331:]
    np.testing.assert_array_equal(right[:100], flow_to_color(flow, 2.0)[:100])
    key = legend(2.0, 48)
    np.testing.assert_array_equal(right[-key.shape[0] :, -key.shape[1] :], key)


@pytest.mark.parametrize("shape", [(64, 96), (17, 300), (300, 17), (1, 1)])
def test_small_and_narrow_pictures_get_larger_and_even(shape):
    picture = side_by_side(np.zeros((*shape, 3), np.uint8), np.zeros((2, *shape), np.float32), 1.0)
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    assert picture.shape[0] >= shape[0]
    assert min(picture.shape[:2]) > 120


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [f.to_ndarray(format="rgb24") for f in container.decode(stream)], stream.average_rate


@pytest.mark.parametrize("source", ["video", "entry_path"])
def test_a_video_of_all_fields(source, request, recipe, tmp_path):
    output = tmp_path / "new" / "out.mp4"
    show(request.getfixturevalue(source), output, recipe)
    frames, rate = decoded(output)
    assert len(frames) == 5
    assert rate == RATE
    assert frames[0].shape[0] % 2 == frames[0].shape[1] % 2 == 0
    width = frames[0].shape[1] // 2
    red, green, blue = frames[2][:100, width + 20 : -20].reshape(-1, 3).mean(0)
    assert red > green + 50  # it moves to the right
    assert red > blue + 50
    assert list(output.parent.iterdir()) == [output]


def read_png(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def test_a_picture_of_one_field(entry_path, recipe, tmp_path):
    show(entry_path, tmp_path / "out.png", recipe, frame=2)
    entry = Entry(entry_path)
    scale, _ = render._survey(entry)
    expected = side_by_side(entry.rgb([2])[0], entry.flow([2]).data[0], scale)
    entry.close()
    np.testing.assert_array_equal(read_png(tmp_path / "out.png"), expected)


def test_a_video_and_its_entry_give_the_same_picture(video, entry_path, recipe, tmp_path):
    show(video, tmp_path / "a.png", recipe)
    show(entry_path, tmp_path / "b.png", recipe)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_scale_is_of_the_fields_and_the_field_shown_is_not_the_jump(entry_path):
    entry = Entry(entry_path)
    scale, lively = render._survey(entry)
    entry.close()
    assert scale == pytest.approx(4, abs=0.5)  # a fifth of the vectors are 4 px long
    assert lively != 4


def test_a_still_video_has_a_scale(recipe, tmp_path):
    write_video(tmp_path / "still.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 3, RATE)
    show(tmp_path / "still.mp4", tmp_path / "out.png", recipe)
    drawn = read_png(tmp_path / "out.png")
    assert tuple(drawn[5, -5]) == (255, 255, 255)


@pytest.mark.parametrize(
    ("output", "frame", "message"),
    [
        ("out.gif", None, r"out\.gif must end in \.mp4 or \.png"),
        ("out", None, "must end in"),
        ("out.png", 5, "frames 0 to 4, and none at 5"),
        ("out.png", -1, "none at -1"),
        ("out.mp4", 1, "shows all frames"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(entry_path, recipe, tmp_path, output, frame, message):
    with pytest.raises(UserError, match=message):
        show(entry_path, tmp_path / output, recipe, frame=frame)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there(recipe, tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*none\.mp4"):
        show(tmp_path / "none.mp4", tmp_path / "out.png", recipe)


@pytest.mark.parametrize("name", ["text.mp4", "text.h5"])
def test_a_file_that_is_neither_video_nor_entry_is_named(name, recipe, tmp_path):
    (tmp_path / name).write_text("no video")
    with pytest.raises(UserError, match=name):
        show(tmp_path / name, tmp_path / "out.png", recipe)


def test_the_video_itself_is_not_overwritten(video, recipe):
    before = video.read_bytes()
    with pytest.raises(UserError, match="overwrite"):
        show(video, Path(video.parent) / "." / video.name, recipe)
    assert video.read_bytes() == before


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_written_videos_decode_to_what_was_written(name, tmp_path):
    ramp = np.linspace(20, 230, 64).astype(np.uint8)
    pictures = [np.repeat(np.roll(ramp, t)[None, :, None], 48, 0).repeat(3, 2) for t in range(4)]
    write_video(tmp_path / name, pictures, 30000 / 1001)
    frames, rate = decoded(tmp_path / name)
    assert float(rate) == pytest.approx(30000 / 1001)
    assert len(frames) == 4
    assert np.abs(np.stack(frames).astype(int) - np.stack(pictures)).mean() < 4


def test_without_libx264_there_is_another_codec(tmp_path, monkeypatch):
    def unknown(name, mode):
        raise av.codec.codec.UnknownCodecError(name)

    monkeypatch.setattr(av, "Codec", unknown)
    write_video(tmp_path / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3, 25)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert len(decoded(tmp_path / "a.mp4")[0]) == 3


def test_a_video_needs_a_picture(tmp_path):
    with pytest.raises(ValueError, match="no picture"):
        write_video(tmp_path / "a.mp4", [], 25)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_off_video_leaves_nothing(tmp_path):
    def pictures():
        yield np.zeros((32, 32, 3), np.uint8)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_video(tmp_path / "a.mp4", pictures(), 25)
    assert list(tmp_path.iterdir()) == []
