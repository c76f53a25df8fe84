from itertools import combinations

import numpy as np
import pytest

from twostream.scoring.detection import Segment
from twostream.timeline.drawing import Drawing, FlowScale, Moment, clock, colour_of

CLASSES = ("Überholen", "Ausweichen auf der linken Spur einer langen Straße", "halten", "wenden")
SEGMENTS = (Segment(0, 3, CLASSES[0]), Segment(3, 3.01, CLASSES[1]), Segment(8, 10, CLASSES[2]))


def moment(classes=CLASSES, runs=("spatial", "temporal", "fused"), **changes):
    values = np.linspace(0.6, 0.1, len(classes), dtype=np.float32)
    probabilities = dict.fromkeys(runs, values / values.sum())
    return Moment(
        **{"time": 4.0, "probabilities": probabilities, "segments": SEGMENTS, "span": (0, 10)}
        | changes
    )


def frame(height, width, level=90):
    return np.full((height, width, 3), level, np.uint8)


def still(height=24, width=32):
    return np.zeros((2, height, width), np.float32)


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [(240, 320, 2), (720, 1280, 1), (1080, 1920, 1), (64, 64, 8), (425, 239, 2), (1, 1, 480)],
)
def test_the_frame_stands_above_with_even_sides_at_every_size(height, width, factor):
    rgb = frame(height, width)
    picture = Drawing(CLASSES)(rgb, None, moment())
    assert picture.dtype == np.uint8
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    assert picture.shape[1] - width * factor in (0, 1)
    assert height * factor < picture.shape[0] < 1.6 * height * factor
    assert np.all(picture[: height * factor, : width * factor] == 90)
    assert np.all(rgb == 90)


@pytest.mark.parametrize("size", [(240, 320), (720, 1280)], ids=str)
@pytest.mark.parametrize(("flow_size"), [(24, 32), (256, 455), (300, 20), (20, 300)], ids=str)
def test_the_flow_takes_no_more_than_a_corner(size, flow_size):
    drawn = Drawing(CLASSES)(frame(*size), still(*flow_size), moment())
    plain = Drawing(CLASSES)(frame(*size), None, moment())
    rows, columns = np.nonzero((drawn != plain).any(-1))
    height, width = (round(plain.shape[1] * side / size[1]) for side in size)
    assert rows.max() < 0.6 * height
    assert columns.min() > 0.6 * width
    # Where nothing moves it is white.
    assert (drawn[rows, columns] > 240).all(-1).mean() > 0.5


@pytest.mark.parametrize("classes", [("only",), CLASSES[:2], CLASSES, tuple(map(str, range(400)))])
@pytest.mark.parametrize("runs", [("temporal",), ("spatial", "temporal", "fused")])
def test_any_number_of_classes_and_runs_can_be_drawn(classes, runs):
    picture = Drawing(classes)(frame(240, 320), still(), moment(classes, runs))
    assert (picture[480:] > 200).all(-1).mean() > 0.001  # there is text


def test_a_long_name_is_cut_and_leaves_room_for_its_probability():
    long = Drawing(("x" * 300, "y"))(frame(240, 320), None, moment(("x" * 300, "y")))
    short = Drawing(("x", "y"))(frame(240, 320), None, moment(("x", "y")))
    column = (picture[500:530, 170:212] for picture in (long, short))
    np.testing.assert_array_equal(*column)


@pytest.mark.parametrize("word", ["Überholen", "Straße", "прыжок", "χορός"])
def test_letters_of_other_alphabets_are_not_drawn_as_boxes(word):
    def drawn(text):
        probabilities = {"run": np.ones(1, np.float32)}
        return Drawing((text,))(frame(240, 320), None, moment((text,), probabilities=probabilities))

    missing = "\ue000"  # a code that no font has
    for letter in word:
        assert not np.array_equal(drawn(letter), drawn(missing))


def test_what_lies_outside_of_the_timeline_and_unknown_labels_are_no_trouble():
    segments = (Segment(-5, -1, CLASSES[0]), Segment(9, 30, "unheard of"), Segment(50, 60, "x"))
    for time in (-1.0, 0.0, 10.0, 99.0):
        for span in ((0.0, 10.0), (0.0, 0.0)):
            Drawing(CLASSES)(frame(240, 320), None, moment(segments=segments, time=time, span=span))
    Drawing(CLASSES)(frame(240, 320), None, moment(segments=(), probabilities={}))


def test_classes_have_colours_that_can_be_told_apart():
    colours = np.array([colour_of(number) for number in range(12)], float)
    for one, other in combinations(colours, 2):
        assert np.abs(one - other).sum() > 40
    # White text can be read on them: the contrast of WCAG 2.1, section 1.4.3, for large text.
    linear = (np.array([colour_of(number) for number in range(200)]) / 255) ** 2.2
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (1.05 / (luminance + 0.05)).min() > 2


def test_the_scale_of_the_flow_follows_slowly_and_never_falls_to_noise():
    scale, rng = FlowScale(), np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (2, 40, 40)).astype(np.float32)
    assert scale(noise) == 0.5
    fast = np.full((2, 40, 40), 10, np.float32)
    steps = [scale(fast) for _ in range(200)]
    assert steps == sorted(steps)
    assert steps[0] < 2
    assert steps[-1] == pytest.approx(np.hypot(10, 10), rel=1e-3)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0:00.0"), (59.96, "1:00.0"), (62.54, "1:02.5"), (3600, "1:00:00.0"), (-3, "0:00.0")],
)
def test_times_are_written_as_a_clock_shows_them(seconds, words):
    assert clock(seconds) == words
