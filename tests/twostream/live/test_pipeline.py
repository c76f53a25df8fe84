import itertools
import threading
from threading import Event

import cv2
import numpy as np
import pytest
from made_sources import MadeClock, MadeSource
from stub_networks import stub_network

from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.workers.device_client import flow_at_step
from twostream.live.mailbox import Mailbox
from twostream.live.pipeline import Live
from twostream.live.setup import labeller_of
from twostream.prediction.predict import Predictor

RECIPE = Recipe.of("farneback", size="24", bound=16.0)
PATIENCE = 60  # seconds, of a test that would otherwise hang


def pictures(count):
    noise = np.random.default_rng(0).integers(0, 256, (24, 32 + count, 3), np.uint8)
    return [np.ascontiguousarray(noise[:, n : n + 32]) for n in range(count)]


@pytest.fixture
def network():
    return stub_network("temporal", RECIPE)


@pytest.fixture
def labeller(monkeypatch, tmp_path, network):
    monkeypatch.setattr("twostream.prediction.predict.load_network", lambda *_: network)
    return labeller_of(Predictor([tmp_path / "run"]), seconds=1.0)[0]


def threads_of_ours():
    return [
        one.name for one in threading.enumerate() if one.name in ("capture", "flow", "networks")
    ]


def test_every_frame_is_labelled_where_all_are_kept(labeller):
    with Live(MadeSource(pictures(20)), labeller, clock=MadeClock(), keep_all=True) as live:
        labels = [label for label, _ in live]
    assert [label.number for label in labels] == list(range(3, 20))
    assert live.statistics.captured == 20
    assert live.statistics.dropped == 0
    assert live.statistics.labels == 17
    assert live.statistics.seconds == pytest.approx(19 / 25)
    assert "26.3 frames/s, 22.4 labels/s" in str(live.statistics)
    assert not threads_of_ours()


@pytest.fixture
def computed(monkeypatch):
    """What is called with the number of fields so far, before the next is computed."""
    hooks, count = [], itertools.count()

    def flow(*given):
        for hook in hooks:
            hook(next(count))
        return flow_at_step(*given)

    monkeypatch.setattr("flowcache.workers.device_client.flow_at_step", flow)
    return hooks.append


def test_frames_that_come_while_flow_is_computed_are_dropped_and_counted(
    labeller, network, computed
):
    computing, all_came = Event(), Event()
    fields = []

    def waited(moment):  # of the capture
        if (
            moment > 100.06
        ):  # the third frame and all after it come while the first field is computed
            assert computing.wait(PATIENCE)
        if moment > 101.03:
            all_came.set()

    def compute(number):
        fields.append(number)
        if number == 1:  # field 0 is the rehearsal's
            computing.set()
            assert all_came.wait(PATIENCE)

    computed(compute)
    with Live(MadeSource(pictures(27)), labeller, clock=MadeClock(waited)) as live:
        labels = [label for label, _ in live]
    assert live.statistics.captured == 27
    # Of the first two frames one may be dropped as well, or both have come to the flow.
    assert 23 <= live.statistics.dropped <= 25
    assert labels[-1].number == 26
    # The clip is as long as any, the flow that it ends with is between neighbours, and the rest of it
    # is the flow that is nearest.
    *_, clip = network.seen
    expected = RECIPE.quantizer.encode(flow_at_step(RECIPE.create_algorithm(), grey(25, 26), 1))[0]
    assert clip.values.shape[1] == 3
    np.testing.assert_array_equal(labels[-1].codes, expected[0])


def grey(*numbers):
    return np.stack([cv2.cvtColor(pictures(27)[n], cv2.COLOR_RGB2GRAY) for n in numbers])


def test_the_networks_take_the_newest_and_leave_out_what_came_meanwhile(
    labeller, network, computed, monkeypatch
):
    seen, all_came = [], Event()
    logits = network.logits

    def slow(clip):
        seen.append(clip)
        if len(seen) == 2:  # the first is the rehearsal's
            assert all_came.wait(PATIENCE)
        return logits(clip)

    network.logits = slow
    computed(lambda number: number == 11 and all_came.set())

    class Kept(Mailbox):
        """What is looked at is how the networks keep up with the flow, not the flow with the capture."""

        def __init__(self, room=1, keep_all=False):
            super().__init__(room, keep_all or room == 1)

    monkeypatch.setattr("twostream.live.pipeline.Mailbox", Kept)
    with Live(MadeSource(pictures(12)), labeller, clock=MadeClock()) as live:
        numbers = [label.number for label, _ in live]
    assert numbers[-1] == 11
    assert len(numbers) <= 4
    assert live.statistics.dropped == 0


def test_a_source_that_breaks_has_its_frames_labelled_and_then_tells_why(labeller):
    source = MadeSource([*pictures(8), UserError("the cable is out")])
    numbers = []
    live = Live(source, labeller, clock=MadeClock(), keep_all=True)
    with pytest.raises(UserError, match="the cable is out"):
        numbers.extend(label.number for label, _ in live)
    assert numbers == [3, 4, 5, 6, 7]
    assert live.statistics.captured == 8
    assert not threads_of_ours()


@pytest.mark.parametrize("where", ["flow", "network"])
def test_what_fails_in_a_thread_is_raised_and_ends_them_all(labeller, network, computed, where):
    calls = itertools.count()
    logits = network.logits

    def fail(_):
        if next(calls) == 8:
            raise MemoryError

    if where == "flow":
        computed(fail)
    else:
        network.logits = lambda clip: (fail(clip), logits(clip))[1]
    live = Live(MadeSource(pictures(50)), labeller, clock=MadeClock(), keep_all=True)
    with pytest.raises(MemoryError):
        list(live)
    assert not threads_of_ours()


def test_who_breaks_off_leaves_no_thread_behind(labeller):
    endless = MadeSource(pictures(500))
    with Live(endless, labeller, clock=MadeClock(), keep_all=True) as live:
        for label, _ in live:
            if label.number == 5:
                break
    assert not threads_of_ours()
    assert live.statistics.labels == 3


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_source_that_is_too_short_for_a_clip_has_no_label(labeller, count):
    with Live(MadeSource(pictures(count)), labeller, clock=MadeClock(), keep_all=True) as live:
        assert list(live) == []
    assert live.statistics.captured == count
    assert "0 of" in str(live.statistics)


def test_the_latency_is_from_the_arrival_of_the_newest_frame_to_its_label(labeller, network):
    clock = MadeClock()
    logits = network.logits

    def taking(clip):
        clock.pass_by(0.03)
        return logits(clip)

    network.logits = taking
    with Live(MadeSource(pictures(6)), labeller, clock=clock, keep_all=True) as live:
        latencies = [latency for _, latency in live]
    assert min(latencies) >= 0.03 - 1e-9
    assert live.statistics.slowest == pytest.approx(max(latencies), abs=0.0011)
