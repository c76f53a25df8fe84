"""The first thread: pictures as they come, in the sizes that the networks were trained on."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import nan
from threading import Event

import av

from flowcache.types import UInt8
from flowcache.video.decode import upright
from flowcache.video.resize import Resize
from twostream.live.clock import Clock
from twostream.live.mailbox import Mailbox
from twostream.live.source import Source
from twostream.timeline.decoding import DEFAULT_RATE, RisingTimes


@dataclass(frozen=True, eq=False)
class Captured:
    """A frame that was captured."""

    number: int
    """From 0, also of those that were dropped."""

    time: float
    """Seconds since the first frame."""

    arrived: float
    """The clock's time at which it was there to be decoded."""

    rgb: Sequence[UInt8]
    """For each recipe, uint8 (H, W, 3)."""

    before: Sequence[UInt8 | None]
    """For each recipe the frame `frame_step` captures ago, None where there is none of that size."""


@dataclass(frozen=True)
class Stored:
    """What a recipe wants of frames."""

    resize: Resize
    frame_step: int


class Capture:
    """Decodes a source at its own pace and puts each frame into a mailbox.

    A frame goes with the one before it, so that flow is between frames as far apart as those that trained
    the network, whether or not the frames between this and the last one that was taken were dropped.
    """

    def __init__(
        self,
        source: Source,
        stored: Sequence[Stored],
        clock: Clock,
        mailbox: Mailbox[Captured],
        stopped: Event,
        prepare: Callable[[Captured], None] = lambda _: None,
        seconds: float = 0.0,
    ) -> None:
        """prepare: is called with the first frame, before the clock starts.

        seconds: after which it ends; 0: when the source does.
        """
        self._source, self._stored, self._clock = source, stored, clock
        self._mailbox, self._stopped, self._prepare = mailbox, stopped, prepare
        self._seconds = seconds
        self._held = deque[Sequence[UInt8]](maxlen=1 + max(one.frame_step for one in stored))
        self.captured = 0

    def run(self) -> None:
        """Until the source ends, it is stopped, or the seconds are over. UserError where it breaks."""
        source, clock = iter(self._source), self._clock
        times = RisingTimes(self._source.rate or DEFAULT_RATE)
        first = start = nan
        while not self._stopped.is_set():
            asked = clock.now()
            picture, stamp = next(source, (None, None))
            if picture is None:
                return
            time = times.of(nan if stamp is None else stamp)
            if self.captured == 0:
                first = time
                self._prepare(self._sized(picture, 0.0, asked))
                self._held.clear()
                start = asked = clock.now()
            time -= first
            if self._seconds and clock.now() - start >= self._seconds:
                return
            if self._source.is_recorded:
                # To decode it took time, which is part of how long a label takes to come. Where it takes
                # longer than the frames last, the frames come late, and that is part of it as well.
                due, decoding = start + time, clock.now() - asked
                clock.wait_until(due, self._stopped)
                arrived = min(due, clock.now() - decoding)
            else:
                arrived = clock.now()
            if self._stopped.is_set():
                return
            self._mailbox.put(self._sized(picture, time, arrived))
            self.captured += 1

    def _sized(self, picture: av.VideoFrame, time: float, arrived: float) -> Captured:
        self._held.append([upright(picture, one.resize) for one in self._stored])
        rgb, held = self._held[-1], len(self._held)
        before: list[UInt8 | None] = []
        for number, one in enumerate(self._stored):
            earlier = self._held[-1 - one.frame_step][number] if held > one.frame_step else None
            same = earlier is not None and earlier.shape == rgb[number].shape
            before.append(earlier if same else None)
        return Captured(self.captured, time, arrived, rgb, before)


def frames_of(mailbox: Mailbox[Captured]) -> Iterator[Captured]:
    """The newest of what is captured, until nothing more comes."""
    while held := mailbox.take():
        yield held[-1]
