"""Progress: of an extraction, and of anything that is counted."""

import time
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from flowcache.extraction.one import Job
from flowcache.extraction.outcome import Outcome

_SECONDS_BETWEEN_LINES = 20.0


class ExtractionBar:
    """A bar over videos. The number of fields is known only as videos are opened, so the time left is.

    fields left = expected fields of the opened videos × (bytes of all / bytes of the opened) − done.
    """

    def __init__(self, console: Console, videos: int, bytes_of_all: int) -> None:
        self._progress = Progress(
            TextColumn("flow"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("videos  {task.fields[speed]}"),
            console=console,
        )
        self._task = self._progress.add_task("", total=videos, speed="")
        self._bytes_of_all, self._bytes_opened = bytes_of_all, 0
        self._videos: dict[Path, tuple[int, int]] = {}
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _stop(self._progress)

    def progressed(self, job: Job, done: int, expected: int) -> None:
        """A batch of a video is done."""
        self._progress.start()  # not before: there may be something wrong, and nothing to do
        if job.video not in self._videos:
            self._bytes_opened += job.video.stat().st_size
        self._videos[job.video] = (done, expected)
        self._show()

    def finished(self, outcome: Outcome) -> None:
        """A video is done, or given up."""
        if outcome.kind == "kept":
            self._bytes_of_all -= outcome.job.video.stat().st_size
        elif outcome.kind == "done":
            self.progressed(outcome.job, outcome.fields, outcome.fields)
        self._progress.advance(self._task)
        self._show()

    def _show(self) -> None:
        done = sum(fields for fields, _ in self._videos.values())
        if done == 0:
            return
        expected = sum(fields for _, fields in self._videos.values())
        speed = done / (time.monotonic() - self._start)
        left = expected * max(1.0, self._bytes_of_all / max(1, self._bytes_opened)) - done
        text = f"{speed:.0f} fields/s, {_clock(left / speed)} left"
        self._progress.update(self._task, speed=text)


class Bar:
    """A bar over things of which so many are done; without a terminal, a line now and then.

    It is drawn from the first of them on, since before that something may be wrong.
    """

    def __init__(self, console: Console, word: str, things: str) -> None:
        self._console, self._word, self._things = console, word, things
        self._progress = Progress(
            TextColumn(word),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(things),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _stop(self._progress)

    def progressed(self, done: int, total: int, share: float = 0.0) -> None:
        """So many of all are done, and this share, 0 to 1, of the next."""
        if not self._console.is_terminal:
            if time.monotonic() - self._said > _SECONDS_BETWEEN_LINES:
                self._said = time.monotonic()
                of_next = f", {100 * share:.0f} % of the next" if share else ""
                self._console.print(f"{self._word}: {done} of {total} {self._things}{of_next}")
            return
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task("")
        self._progress.update(self._task, completed=done + share, total=total)


def _stop(progress: Progress) -> None:
    if progress.live.is_started:  # else it would print an empty line
        progress.stop()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
