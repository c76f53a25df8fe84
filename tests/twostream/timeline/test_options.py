import pytest

from flowcache.errors import UserError
from twostream.data.clip_spec import ClipSpec
from twostream.timeline.options import TimelineOptions, seconds_of


@pytest.mark.parametrize(
    ("clip", "seconds"),
    [
        ({"length": 10, "stride": 3}, 28 / 30),
        ({"length": 10}, 10 / 30),
        ({"length": 1}, 1 / 30),
        ({"length": 16, "fps": 10.0}, 1.5 + 1 / 30),
    ],
)
def test_how_long_a_clip_is(clip, seconds):
    assert seconds_of(ClipSpec(crop=24, resize=0, **clip), 30.0) == pytest.approx(seconds)


def test_what_is_not_given_follows_from_the_longest_clip():
    clips = [ClipSpec(length=1), ClipSpec(length=10, stride=3), ClipSpec(length=4)]
    filled = TimelineOptions(threshold=0.3).filled(clips, 30.0)
    assert filled.hop == pytest.approx(14 / 30)
    assert filled.window == pytest.approx(56 / 30)
    assert filled.min_length == pytest.approx(28 / 30)
    assert filled.threshold == 0.3
    # Of a single frame it is not that of a thirtieth of a second.
    assert TimelineOptions().filled([ClipSpec(length=1)], 30.0).hop == 0.25
    given = TimelineOptions(hop=2.0, window=0.1, min_length=0.0)
    assert given.filled(clips, 30.0) == given


@pytest.mark.parametrize(
    "wrong",
    [
        {"hop": 0},
        {"hop": 1e-9},
        {"hop": float("inf")},
        {"window": -1.0},
        {"min_length": -0.1},
        {"threshold": 1.5},
    ],
)
def test_what_cannot_be_is_refused_by_its_name(wrong):
    with pytest.raises(UserError) as caught:
        TimelineOptions(**wrong)
    assert caught.value.parameter == next(iter(wrong))
