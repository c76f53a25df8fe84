"""Strips and videos of explanations whose maps are known."""

from dataclasses import replace

import numpy as np
import pytest
from planted_evidence import spec_of

from twostream.data.crop_and_flip import View
from twostream.explanation.explain import Explanation
from twostream.explanation.heat import colours, heat, heat_over
from twostream.explanation.strip import MOMENTS, draw_strip

HEIGHT, WIDTH = 60, 80


def explanation(stream="spatial", frames=20, label="patch", brightest=(), **changes):
    """Each frame has a gray level of its own; the maps of the brightest are 1 in a corner."""
    levels = np.linspace(60, 200, frames).round().astype(np.uint8)
    shown = np.broadcast_to(levels[:, None, None, None], (frames, HEIGHT, WIDTH, 3))
    map = np.zeros((frames, HEIGHT, WIDTH), np.float32)
    map[list(brightest), 10:20, 30:40] = 1
    values = {
        "spec": spec_of(stream),
        "label": label,
        "probability": 0.75,
        "method": "grad_cam",
        "frames": shown,
        "map": map,
        "rgb": shown,
        "seen": View(5, 10, 50, 60),
        "scale": 1.0,
        "numbers": np.arange(frames),
        "times": np.arange(frames) / 10,
    }
    return Explanation(**values | changes)


def shown_levels(one, height=60):
    """The gray levels in the upper row of a strip of one explanation."""
    picture = draw_strip([one], height=height)
    columns = (np.arange(MOMENTS) + 0.5) * picture.shape[1] / MOMENTS
    return [int(picture[height, int(column), 0]) for column in columns]


def test_of_each_fifth_of_the_time_the_frame_is_shown_for_which_most_speaks():
    one = explanation(brightest=(2, 5, 8, 14, 19))
    assert shown_levels(one) == [int(one.frames[n, 0, 0, 0]) for n in (2, 5, 8, 14, 19)]


def test_of_fields_of_one_map_the_one_that_moves_most_is_shown():
    one = explanation("temporal")  # the darker a colour of flow, the longer the vector
    assert shown_levels(one) == [int(one.frames[n, 0, 0, 0]) for n in (0, 4, 8, 12, 16)]


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_video_of_few_frames_shows_the_nearest(frames):
    one = explanation(frames=frames)
    assert set(shown_levels(one)) <= set(one.frames[:, 0, 0, 0].tolist())


def test_a_strip_has_two_rows_for_each_stream_and_says_what_they_are():
    one, two = explanation(), explanation("temporal")
    small, large = (draw_strip([one, two], "a title", height=h) for h in (60, 180))
    assert small.dtype == np.uint8
    assert small.shape[0] > 4 * 60
    assert large.shape[0] > 4 * 180
    assert large.shape[1] == pytest.approx(5 * 180 * WIDTH / HEIGHT, abs=5 * 4)
    # The heading, of which the label and the title are a part.
    other = draw_strip([explanation(label="else"), two], "a title", height=180)
    untitled = draw_strip([one, two], height=180)
    assert other.shape == large.shape
    assert (other != large).any()
    assert untitled.shape[0] < large.shape[0]


def test_the_words_about_a_narrow_video_have_room():
    shape = (20, 200, 20)
    narrow = {
        "frames": np.full((*shape, 3), 90, np.uint8),
        "map": np.full(shape, 0.5, np.float32),
        "seen": View(0, 0, 20, 20),
    }
    one, other = (draw_strip([replace(explanation(label=name), **narrow)]) for name in ("a", "b"))
    differ = (one != other).any((0, 2))
    assert differ[
        : len(differ) // 2
    ].any()  # the label is left of the scale, which does not hide it
    assert not differ[len(differ) // 2 :].any()
    # Between pictures that are 18 pixels wide there is white for the times below them.
    assert (one[60:200, 30:100] == 255).all()


def test_moments_that_lie_close_are_told_apart_by_their_times():
    def times(frames, rate):
        one = explanation(frames=frames, times=np.arange(frames) / rate)
        return draw_strip([one], height=60)[-24:]

    assert (times(3, 25.0) != times(3, 30.0)).any()  # 0.04 s and 0.03 s
    assert (times(20, 10.0) == times(20, 10.001)).all()


@pytest.mark.parametrize("label", ["", "x" * 500, "бег 走る [b]bold[/b]"])
def test_any_label_is_written_within_its_picture(label):
    assert draw_strip([explanation(label=label)]).shape == draw_strip([explanation()]).shape


def test_the_map_hides_nothing_where_it_is_0_and_is_hot_where_it_is_1():
    gray = np.full((4, 4), 90, np.uint8)
    map = np.zeros((4, 4), np.float32)
    map[1, 2] = 1
    found = heat(gray, map)
    assert (found[map == 0] == 90).all()
    red, green, blue = found[1, 2]
    assert min(red, green) > 200 > blue  # yellow


def test_the_colours_get_lighter_all_the_way():
    """As CIE L* has it, by Cohen's formula for linear RGB."""
    ramp = colours(np.linspace(0, 1, 256, dtype=np.float32)[None])[0] / 255
    linear = np.where(ramp <= 0.04045, ramp / 12.92, ((ramp + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, y * 24389 / 27)
    steps = np.diff(lightness)
    assert (steps > 0).all()
    assert steps.max() < 4 * np.median(steps)
    assert lightness[0] < 5
    assert lightness[-1] > 90


def test_what_was_not_seen_is_paler():
    one = explanation()
    found = heat_over(one.frames[0], one.map[0], one)
    assert found[0, 0, 0] > found[30, 40, 0] == one.frames[0, 30, 40, 0]
