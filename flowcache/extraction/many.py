"""A folder of videos → a cache, each video in a child process of its own."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import joblib

from flowcache.atomic import NoSpaceError, write_csv
from flowcache.cache.entry import DamagedEntryError, Entry
from flowcache.cache.info import EntryInfo
from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.extraction.one import Decoder, Job, extract_video
from flowcache.extraction.outcome import LOST, Outcome, Summary
from flowcache.extraction.videos import find_videos, plan
from flowcache.types import FlowAlgorithm
from flowcache.video.decode import Video
from flowcache.workers.device_pool import DevicePool, UnusableDeviceError
from flowcache.workers.isolation import Children

OnProgress = Callable[[Job, int, int], None]


def extract_folder(
    root: Path,
    cache: FlowCache,
    *,
    algorithm: FlowAlgorithm | None = None,
    devices: Sequence[str] = (),
    jobs: int = -1,
    timeout: float = 600.0,
    keep_partial: bool = False,
    joblib_backend: str = "threading",
    scheduler: str | None = None,
    decode: Decoder = Video,
    on_progress: OnProgress | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Give every video under `root` an entry in `cache`; what is done already is kept.

    Writes `failures.csv` in the cache's folder, or removes it where nothing failed. A video that is lost
    with the process of a device is tried once more after all others, when no video is beside it.

    algorithm: that of the cache's recipe, where it is a user's own.
    devices: what computes the flow, a process each; none: each video's own process.
    The other keywords are those of `flowcache.extract`.

    Raises NoSpaceError where the device of the cache is full; what is done by then stays.
    """
    found = find_videos(root)
    todo, failed = plan(root, found, cache)
    elsewhere = scheduler is not None or joblib_backend != "threading"
    if devices and elsewhere:
        raise UnusableDeviceError(
            f"the videos are processed elsewhere and {', '.join(devices)} is here: use the joblib "
            "backend threading and no scheduler, or the device cpu",
            "device",
        )
    pool = DevicePool(cache.recipe, devices, timeout, on_note) if devices else None
    extraction = Extraction(
        recipe=cache.recipe,
        function=extract_video,
        # Behind them comes the address of a device's process, of which there is none without a pool.
        arguments=(algorithm, keep_partial, decode, *([] if pool else [None])),
        keep_partial=keep_partial,
        timeout=timeout,
        device_pool=pool,
        # What is sent elsewhere has to be picklable, and a progress bar in this process is not.
        on_progress=None if elsewhere else on_progress,
    )
    summary = run_jobs(
        extraction,
        todo,
        failed,
        cache,
        jobs=jobs,
        joblib_backend=joblib_backend,
        scheduler=scheduler,
        on_outcome=on_outcome,
    )
    summary.ignored, summary.repeated = found.ignored, found.repeated
    return summary


def run_jobs(
    extraction: "Extraction",
    todo: Sequence[Job],
    failed: Sequence[Outcome],
    cache: FlowCache,
    *,
    jobs: int = -1,
    joblib_backend: str = "threading",
    scheduler: str | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Summary:
    """Do all jobs, each in a child process, and write `failures.csv`, or remove it where nothing failed.

    failed: the outcomes of what cannot even begin. The other keywords are those of `flowcache.extract`.

    Raises NoSpaceError where the device of the cache is full; what is done by then stays.
    """
    start = time.monotonic()
    summary, pool = Summary(), extraction.device_pool
    with (
        cache.writing(),
        _joblib_backend(joblib_backend, scheduler),
        pool or nullcontext(),
        Children() as children,
    ):
        parallel = joblib.Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")
        done = parallel(joblib.delayed(extraction.run)(job, children) for job in todo)
        try:
            for outcome in chain(failed, _with_a_second_try(done, extraction, children)):
                summary.outcomes.append(outcome)
                if on_outcome:
                    on_outcome(outcome)
        finally:  # before joblib waits for the calls that are under way
            children.close()
            if pool:
                pool.close()
        _write_failures(cache.root / "failures.csv", summary.failures)
        entries = {job.entry for job in todo}
        summary.without_video = [i for i in cache.ids() if cache.path(i).absolute() not in entries]
    summary.seconds = time.monotonic() - start
    return summary


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What all jobs of an extraction, or of an import, have in common; see `extract_folder`."""

    recipe: Recipe

    function: Callable[..., EntryInfo]
    """Writes an entry, in a child: `function(job, recipe, *arguments, report)`, as `extract_video`."""

    arguments: tuple[Any, ...] = ()
    keep_partial: bool = False
    timeout: float = 600.0
    device_pool: DevicePool | None = None
    """With one, the address of a process of it is the last of the arguments."""

    on_progress: OnProgress | None = None

    def run(self, job: Job, children: Children) -> Outcome:
        """One job from beginning to end.

        Whatever the video does, it raises only what is not of this video alone: UnusableDeviceError
        where no device works, and NoSpaceError where the cache's device is full.
        """
        damaged = ""
        try:
            try:
                if kept := self._still_valid(job):
                    share = kept.saturated_share
                    return Outcome(job, "kept", kept.fields, kept.partial, saturated=share)
            except DamagedEntryError as error:
                damaged = str(error)
            job.entry.unlink(missing_ok=True)
            info = self._extract(job, children)
            share = info.saturated_share
            return Outcome(job, "done", info.fields, info.partial, damaged, share)
        except (UnusableDeviceError, NoSpaceError):
            raise
        except Exception as error:  # one video never stops the others
            return Outcome.of_error(job, error)

    def _extract(self, job: Job, children: Children) -> EntryInfo:
        def report(progress: tuple[int, int]) -> None:
            if self.on_progress:
                self.on_progress(job, *progress)

        with self.device_pool.lend() if self.device_pool else nullcontext() as address:
            info: EntryInfo = children.run(
                self.function,
                *(job, self.recipe, *self.arguments, *([address] if address else [])),
                timeout=self.timeout,
                on_report=report,
            )
            return info

    def _still_valid(self, job: Job) -> EntryInfo | None:
        """The entry's info, where it is what this job would write again, to the byte.

        The entry and the video are read whole for their digests, which costs far less than the flow.
        Raises DamagedEntryError where the entry's digest, or the entry, is not right.
        """
        if not job.entry.is_file():
            return None
        with Entry(job.entry) as entry:
            entry.check_seal()
            info = entry.info
        wanted = info.recipe == self.recipe and (self.keep_partial or not info.partial)
        return info if wanted and job.made(info) else None


def _with_a_second_try(
    outcomes: Iterator[Outcome], extraction: Extraction, children: Children
) -> Iterator[Outcome]:
    """Videos that were lost with a device's process are tried again, one at a time, after all others."""
    lost = []
    for outcome in outcomes:
        if outcome.kind == LOST:
            lost.append(outcome.job)
        else:
            yield outcome
    for job in lost:
        outcome = extraction.run(job, children)
        # With no other video beside it, the device's process ends because of this one.
        yield replace(outcome, kind="crashed") if outcome.kind == LOST else outcome


@contextmanager
def _joblib_backend(name: str, scheduler: str | None) -> Iterator[None]:
    if scheduler is None:
        if name not in joblib.parallel.BACKENDS:
            known = ", ".join(sorted(map(str, joblib.parallel.BACKENDS)))
            raise UserError(f"joblib has no backend {name!r}: it has {known}", "joblib_backend")
        with joblib.parallel_config(backend=name):
            yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "Dask is not installed: pip install 'twostream[dask]'", "scheduler"
        ) from None
    try:
        client = Client(scheduler, timeout="10s")  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UserError(f"no Dask scheduler answers at {scheduler}: {error}", "scheduler") from None
    with client, joblib.parallel_config(backend="dask"):
        yield


def _write_failures(path: Path, failures: Sequence[Outcome]) -> None:
    if not failures:
        path.unlink(missing_ok=True)
        return
    rows = [[o.job.name, o.kind, o.reason] for o in failures]
    write_csv(path, [["video", "kind", "reason"], *rows])
