from threading import Event

import numpy as np
import pytest
from made_sources import MadeClock, MadeSource

from flowcache.video.resize import Resize
from twostream.live.capture import Capture, Stored
from twostream.live.mailbox import Mailbox

FULL = Stored(Resize(short_side=64), 1)


def pictures(count, height=12, width=16):
    """Each shows its number."""
    return [np.full((height, width, 3), 10 * number, np.uint8) for number in range(count)]


def captured(source, stored=(FULL,), clock=None, **how):
    mailbox = Mailbox(room=1000)
    Capture(source, stored, clock or MadeClock(), mailbox, Event(), **how).run()
    mailbox.close()
    return mailbox.take()


def test_a_recorded_source_is_played_at_the_pace_of_its_time_stamps():
    times = [5.0, 5.04, 5.2, 5.21]
    frames = captured(MadeSource(pictures(4), times=times), clock=MadeClock())
    assert [f.number for f in frames] == [0, 1, 2, 3]
    assert [f.time for f in frames] == pytest.approx([0, 0.04, 0.2, 0.21])
    assert [f.arrived for f in frames] == pytest.approx([100, 100.04, 100.2, 100.21])


def test_a_live_source_is_waited_for_by_nobody():
    def refuse(_):
        raise AssertionError

    frames = captured(MadeSource(pictures(3), is_recorded=False), clock=MadeClock(refuse))
    assert [f.arrived for f in frames] == [100.0] * 3


@pytest.mark.parametrize(
    ("decoding", "waited"),
    [
        # Quicker than frames follow each other: it is done ahead of time, and counts all the same.
        (0.01, [0, 0.01, 0.01, 0.01]),
        # Slower: frames come ever later than they were due.
        (0.1, [0, 0.1, 0.12, 0.18]),
    ],
)
def test_what_decoding_takes_is_part_of_what_a_label_takes(decoding, waited):
    clock, put = MadeClock(), []

    class Slow(MadeSource):
        def __iter__(self):
            for picture in super().__iter__():
                clock.pass_by(decoding)
                yield picture

    class Noting(Mailbox):
        def put(self, frame):
            put.append(clock.now() - frame.arrived)

    Capture(Slow(pictures(4)), [FULL], clock, Noting(), Event()).run()
    assert put == pytest.approx(waited)


@pytest.mark.parametrize(
    "times", [[None] * 4, [0.0, 0.0, 0.0, 0.0], [9.0, 8.0, 7.0, 6.0], [1.0, None, 0.5, None]]
)
def test_times_rise_also_where_stamps_do_not(times):
    frames = captured(MadeSource(pictures(4), rate=20.0, times=times))
    assert np.diff([f.time for f in frames]) == pytest.approx([0.05] * 3)


@pytest.mark.parametrize("step", [1, 3])
def test_each_frame_goes_with_the_one_that_is_a_step_before_it(step):
    frames = captured(MadeSource(pictures(6)), [Stored(Resize(short_side=64), step)])
    for number, frame in enumerate(frames):
        assert np.all(frame.rgb[0] == 10 * number)
        if number < step:
            assert frame.before == [None]
        else:
            assert np.all(frame.before[0] == 10 * (number - step))


def test_frames_come_in_the_size_of_each_recipe():
    stored = [Stored(Resize(short_side=6), 1), Stored(Resize(exact=(10, 4)), 2)]
    frames = captured(MadeSource(pictures(4)), stored)
    assert [one.shape for one in frames[3].rgb] == [(6, 8, 3), (4, 10, 3)]
    assert [int(one.mean()) for one in frames[3].before] == [20, 10]


def test_no_flow_is_asked_for_between_pictures_of_different_sizes():
    frames = captured(MadeSource([*pictures(2), *pictures(2, 24, 16)]))
    assert [f.before[0] is None for f in frames] == [True, False, True, False]


def test_it_ends_after_the_seconds_that_were_asked_for():
    frames = captured(MadeSource(pictures(10)), seconds=0.2)
    assert [f.number for f in frames] == list(range(6))


def test_what_has_to_be_made_ready_is_no_part_of_the_time():
    clock, first = MadeClock(), []

    def prepare(frame):
        first.append(frame)
        clock.pass_by(50)

    frames = captured(MadeSource(pictures(3)), clock=clock, prepare=prepare)
    assert [np.all(f.rgb[0] == 0) for f in first] == [True]
    assert [f.arrived for f in frames] == pytest.approx([150, 150.04, 150.08])
    assert frames[0].before == [None]
