"""Labels as time goes on: one thread captures, one computes flow, one runs the networks.

While the networks look at one frame, the flow of the next is computed and the one after it is decoded;
NumPy, OpenCV, Numba, FFmpeg and PyTorch all let other threads run meanwhile. What cannot keep up
takes the newest and leaves out the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Any

from joblib import cpu_count
from threadpoolctl import threadpool_limits

from flowcache.extraction.one import one_opencv_thread
from twostream.live.capture import Capture, Captured, Stored, frames_of
from twostream.live.clock import Clock, WallClock
from twostream.live.labels import Label, Labeller
from twostream.live.latencies import Latencies
from twostream.live.mailbox import Mailbox
from twostream.live.motion import Motion, Moved
from twostream.live.source import Source

_WAITING = 64
"""Frames with their flow that the networks have not seen yet; more than fall into any usual clip."""

_PATIENCE = 2.0
"""Seconds for which a thread is waited for that may be waiting for a camera."""


@dataclass(frozen=True)
class Statistics:
    """How fast it went."""

    seconds: float
    """From the first frame on."""

    captured: int
    """Frames that came."""

    dropped: int
    """Of these, such that no flow was computed for them, since newer ones had come."""

    damaged: int
    """Packets of the source that could not be decoded."""

    labels: int

    median: float
    """Of the time from a frame to its label, seconds."""

    slowest: float
    """95 in 100 labels took at most this, seconds."""

    def __str__(self) -> str:
        rate, labels = (
            count / self.seconds if self.seconds > 0 else 0.0
            for count in (self.captured, self.labels)
        )
        damaged = f", {self.damaged} damaged packets" if self.damaged else ""
        return (
            f"{self.seconds:.1f} s: {rate:.1f} frames/s, {labels:.1f} labels/s, "
            f"{1000 * self.median:.0f} ms from frame to label (95 % within "
            f"{1000 * self.slowest:.0f} ms), {self.dropped} of {self.captured} frames dropped{damaged}"
        )


class Live:
    """Labels of a source, one after the other; a context manager that ends its threads."""

    def __init__(
        self,
        source: Source,
        labeller: Labeller,
        *,
        seconds: float = 0.0,
        clock: Clock | None = None,
        keep_all: bool = False,
    ) -> None:
        """seconds: after which it ends; 0: when the source does.

        keep_all: every frame is labelled, however late that is.
        """
        self._source, self._labeller, self._clock = source, labeller, clock or WallClock()
        self._stopped = Event()
        self._failure: BaseException | None = None
        self._failing = Lock()
        self._frames: Mailbox[Captured] = Mailbox(1, keep_all)
        self._flow: Mailbox[Moved] = Mailbox(1 if keep_all else _WAITING, keep_all)
        self._labels: Mailbox[Label] = Mailbox(1, keep_all=True)
        self._motion = Motion(labeller.recipes, labeller.reads_flow)
        stored = [Stored(recipe.resize, recipe.frame_step) for recipe in labeller.recipes]
        self._capture = Capture(
            source, stored, self._clock, self._frames, self._stopped, self._prepare, seconds
        )
        self._latencies = Latencies()
        self._began: float | None = None
        self._ended: float | None = None
        self._threads = [
            Thread(target=self._guarded, args=stage, name=name, daemon=True)
            for name, stage in (
                ("capture", (self._capture.run, self._frames)),
                ("flow", (self._compute_flow, self._flow)),
                ("networks", (self._run_networks, self._labels)),
            )
        ]

    def __enter__(self) -> "Live":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all threads. What is under way is not waited for longer than two seconds."""
        self._stopped.set()
        for mailbox in (self._frames, self._flow, self._labels):
            mailbox.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_PATIENCE)

    def __iter__(self) -> Iterator[tuple[Label, float]]:
        """Each label, and the seconds from its frame's arrival until now. Only once.

        Ends with the source. Raises what went wrong in a thread, after the labels before it: UserError
        for a source that breaks, or for frames that the flow algorithm refuses.
        """
        with one_opencv_thread():
            for thread in self._threads:
                thread.start()
            try:
                while labels := self._labels.take():
                    for label in labels:
                        latency = self._clock.now() - label.arrived
                        self._latencies.add(latency)
                        yield label, latency
            finally:
                self.stop()
        if self._failure:
            raise self._failure

    @property
    def statistics(self) -> Statistics:
        """Until now."""
        ended = self._clock.now() if self._ended is None else self._ended
        return Statistics(
            seconds=ended - self._began if self._began is not None else 0.0,
            captured=self._capture.captured,
            dropped=self._frames.dropped,
            damaged=self._source.damaged,
            labels=len(self._latencies),
            median=self._latencies.percentile(50),
            slowest=self._latencies.percentile(95),
        )

    def _prepare(self, first: Captured) -> None:
        """Compile, load and try all that is needed, with a frame twice, before the clock starts."""
        twice = Captured(first.number, first.time, first.arrived, first.rgb, first.rgb)
        self._labeller.rehearse(self._motion(twice))
        self._began = self._clock.now()

    def _compute_flow(self) -> None:
        for frame in frames_of(self._frames):
            self._flow.put(self._motion(frame))

    def _run_networks(self) -> None:
        # The other threads need a core as well; and OpenMP's threads, which wait by spinning, hold each
        # other up badly where there are more of them than cores.
        with threadpool_limits(max(1, cpu_count() - 1)):
            while held := self._flow.take():
                for moved in held:
                    self._labeller.add(moved)
                if label := self._labeller.label():
                    self._labels.put(label)

    def _guarded(self, stage: Callable[[], None], to: Mailbox[Any]) -> None:
        """Run a stage. Where it ends, so do those behind it; where it fails, those before it as well."""
        try:
            stage()
        except BaseException as error:
            with self._failing:
                self._failure = self._failure or error
            self._stopped.set()
            mailboxes: list[Mailbox[Any]] = [self._frames, self._flow, self._labels]
            for before in mailboxes[: mailboxes.index(to)]:
                before.close()
        finally:
            if to is self._frames:
                self._ended = self._clock.now()
            to.close()
