from threading import Thread

import numpy as np
import pytest

from twostream.live.latencies import Latencies
from twostream.live.mailbox import Mailbox


@pytest.mark.parametrize("room", [1, 3])
def test_the_newest_are_kept_in_order_and_the_others_are_counted(room):
    mailbox = Mailbox(room)
    for number in range(5):
        mailbox.put(number)
    assert mailbox.take() == [0, 1, 2, 3, 4][-room:]
    assert mailbox.dropped == 5 - room
    mailbox.put(5)
    assert mailbox.take() == [5]
    assert mailbox.dropped == 5 - room


def test_a_closed_mailbox_still_gives_what_it_holds_and_takes_nothing_new():
    mailbox = Mailbox()
    mailbox.put("last")
    mailbox.close()
    mailbox.put("too late")
    assert mailbox.take() == ["last"]
    assert mailbox.take() == []


def test_who_must_keep_all_waits_for_room_and_loses_nothing():
    mailbox, taken = Mailbox(keep_all=True), []

    def put_all():
        for number in range(200):
            mailbox.put(number)
        mailbox.close()

    thread = Thread(target=put_all)
    thread.start()
    while things := mailbox.take():
        taken += things
    thread.join()
    assert taken == list(range(200))
    assert mailbox.dropped == 0


@pytest.mark.parametrize("waiting", ["put", "take"])
def test_closing_wakes_who_waits(waiting):
    mailbox = Mailbox(keep_all=True)
    if waiting == "put":
        mailbox.put(0)
        thread = Thread(target=mailbox.put, args=(1,))
    else:
        thread = Thread(target=mailbox.take)
    thread.start()
    mailbox.close()
    thread.join(60)
    assert not thread.is_alive()


def test_percentiles_are_those_of_the_durations_to_a_millisecond():
    durations = np.random.default_rng(0).gamma(2, 0.03, 1001)
    latencies = Latencies()
    for seconds in durations:
        latencies.add(seconds)
    assert len(latencies) == 1001
    for percent in (5, 50, 95, 100):
        expected = np.percentile(durations, percent)
        assert latencies.percentile(percent) == pytest.approx(expected, abs=0.002), percent


def test_no_duration_and_very_long_ones_have_percentiles_too():
    latencies = Latencies()
    assert latencies.percentile(95) == 0
    latencies.add(3600)
    latencies.add(-1)
    assert latencies.percentile(100) == pytest.approx(10, abs=0.01)
    assert latencies.percentile(50) == 0
