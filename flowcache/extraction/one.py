"""Videos → cache entries: one video in this process, or many in isolated ones."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import cv2
import joblib
import numpy as np

from flowcache.atomic import write_csv
from flowcache.cache.entry import DamagedEntryError, Entry, EntryInfo, Source, write_entry
from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.types import UInt8
from flowcache.video.decode import EXTENSIONS, BrokenVideoError, Video
from flowcache.workers import isolation
from flowcache.workers.client import DeviceLostError, flow_source
from flowcache.workers.supervisor import DevicePool, UnusableDeviceError

Decoder = Callable[[Path], AbstractContextManager[Video]]
OnProgress = Callable[["Job", int, int], None]


class TooShortError(UserError):
    """A video without a single pair of frames; it holds no motion."""


@dataclass(frozen=True)
class Job:
    """One video to do: the file, its path under the folder of videos, and its entry."""

    video: Path
    name: str
    entry: Path


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    kind: "done", "kept" (it was there already), "broken" (it cannot be decoded), "too short",
        "crashed" (its process died), "timed out", or "failed" (anything else).
    reason: one sentence where it failed; for a partial entry, where and why its video breaks.
    """

    job: Job
    kind: str
    fields: int = 0
    reason: str = ""

    @property
    def failed(self) -> bool:
        """The video has no entry."""
        return self.kind not in ("done", "kept")


@dataclass
class Summary:
    """What an extraction did; `ignored` are files whose names are not those of videos."""

    outcomes: list[Outcome] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failures(self) -> list[Outcome]:
        """The videos without an entry, by name."""
        return sorted((o for o in self.outcomes if o.failed), key=lambda o: o.job.name)

    @property
    def partial(self) -> list[Outcome]:
        """The videos of which only the beginning was kept, by name."""
        kept = (o for o in self.outcomes if not o.failed and o.reason)
        return sorted(kept, key=lambda o: o.job.name)

    def count(self, kind: str) -> int:
        """How many jobs ended so."""
        return sum(o.kind == kind for o in self.outcomes)

    @property
    def fields(self) -> int:
        """Fields computed in this run."""
        return sum(o.fields for o in self.outcomes if o.kind == "done")


def extract_video(
    job: Job,
    recipe: Recipe,
    keep_partial: bool = False,
    decode: Decoder = Video,
    address: str | None = None,
    report: isolation.Report = lambda _: None,
) -> EntryInfo:
    """Decode one video, compute its flow and write its entry.

    `address` is that of a device's process, see `serve`; without one the flow is computed here.
    `report` is given (fields done, fields expected) after each batch. Raises BrokenVideoError (unless
    `keep_partial`) and TooShortError; then there is no entry.
    """
    # Videos run side by side; and OpenCV's DIS depends, in its last digits, on the thread count.
    cv2.setNumThreads(1)
    step = recipe.frame_step
    source = Source.of(job.video, job.name)
    with (
        flow_source(recipe, address) as flow,
        decode(job.video) as video,
        write_entry(job.entry, recipe) as writer,
    ):
        partial = ""
        window: UInt8 = np.empty((0, 0, 0), np.uint8)
        try:
            for frames in video.frames(recipe.resize):
                gray = np.array([cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in frames], np.uint8)
                window = np.concatenate([window[-step:], gray]) if window.size else gray
                if len(window) > step:
                    flow.put(window)
                writer.add_frames(frames)
                if flow.waiting > 1:  # a device has had time for it meanwhile
                    writer.add_codes(*flow.take())
                report((writer.fields, max(writer.fields, video.expected_frames - step)))
        except BrokenVideoError as error:
            if not keep_partial:
                raise
            partial = str(error)
        while flow.waiting:
            writer.add_codes(*flow.take())
            report((writer.fields, max(writer.fields, video.expected_frames - step)))
        if writer.fields == 0 or video.size is None:
            frames_word = "frame" if writer.frames == 1 else "frames"
            raise TooShortError(
                f"too short: it has {writer.frames} {frames_word}, and flow needs {step + 1}"
                + (f" ({partial})" if partial else "")
            )
        return writer.finish(source, video.size, video.rate, partial)


def find_videos(root: Path) -> tuple[list[Path], list[Path]]:
    """The videos under a folder, sorted, and the other files; hidden ones are in neither.

    UserError where there is no such folder, or no video in it.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder: name the folder that holds the videos")
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(root).parts)
    )
    videos = [path for path in files if path.suffix.lower() in EXTENSIONS]
    if not videos:
        raise UserError(
            f"{root} holds no video: files must end in one of {' '.join(sorted(EXTENSIONS))}"
        )
    return videos, [path for path in files if path.suffix.lower() not in EXTENSIONS]


def extract_folder(
    root: Path,
    cache: FlowCache,
    *,
    devices: Sequence[str] = (),
    jobs: int = -1,
    timeout: float = 600.0,
    keep_partial: bool = False,
    backend: str = "threading",
    scheduler: str | None = None,
    decode: Decoder = Video,
    on_progress: OnProgress | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Give every video under `root` an entry in `cache`; what is done already is kept.

    Writes `failures.csv` in the cache's folder, or removes it where nothing failed.

    devices: what computes the flow, a process each; none: each video's own process. See `devices`.
    jobs: how many videos at once, as joblib counts: −1 is one for each core.
    timeout: seconds that a video may go without progress before it is given up.
    keep_partial: of a video that breaks, keep what decoded, marked as partial.
    backend, scheduler: where the work runs: a joblib backend, and for "dask" its address.
    on_progress: called with (job, fields done, fields expected), by the "threading" backend only.
    on_outcome: called at the end of each job, in the order in which they end.
    on_note: told in words what happens to the devices.
    """
    start = time.monotonic()
    videos, ignored = find_videos(root)
    todo, clashes = _plan(root.resolve(), [v.resolve() for v in videos], cache)
    # What is written elsewhere has to be picklable; a progress bar in this process is not.
    report = on_progress if backend == "threading" else None
    if devices and backend != "threading":
        raise UnusableDeviceError(
            f"the {backend} backend works elsewhere and {', '.join(devices)} is here: use --backend "
            "threading, or an algorithm for the CPU"
        )
    summary = Summary(ignored=ignored)
    pool = DevicePool(cache.recipe, devices, timeout, on_note) if devices else None
    with cache.writing(), _backend(backend, scheduler), pool or nullcontext():
        how = _How(cache.recipe, keep_partial, decode, timeout, pool, report)
        parallel = joblib.Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")
        done = parallel(joblib.delayed(_run)(job, how) for job in todo)
        try:
            for outcome in chain(clashes, done):
                summary.outcomes.append(outcome)
                if on_outcome:
                    on_outcome(outcome)
        finally:
            if pool:
                pool.close()
            isolation.kill_all()
        _write_failures(cache.root / "failures.csv", summary.failures)
    summary.seconds = time.monotonic() - start
    return summary


def _plan(root: Path, videos: Sequence[Path], cache: FlowCache) -> tuple[list[Job], list[Outcome]]:
    """The jobs, largest file first so that none is left to run alone; and those that clash."""
    todo: dict[Path, Job] = {}
    clashes = []
    for video in videos:
        relative = video.relative_to(root)
        entry = cache.path(relative.with_suffix("").as_posix()).resolve()
        job = Job(video, relative.as_posix(), entry)
        first = todo.setdefault(entry, job)
        if first is not job:
            reason = f"{first.name} has the same name but for its ending: rename one of them"
            clashes.append(Outcome(job, "failed", reason=reason))
    return sorted(todo.values(), key=lambda j: -j.video.stat().st_size), clashes


@dataclass(frozen=True)
class _How:
    """What all jobs of an extraction have in common; see `extract_folder`."""

    recipe: Recipe
    keep_partial: bool
    decode: Decoder
    timeout: float
    pool: DevicePool | None
    on_progress: OnProgress | None


def _run(job: Job, how: _How) -> Outcome:
    """One job from beginning to end; raises only where no device works, whatever the video does."""
    try:
        if kept := _still_valid(job, how.recipe, how.keep_partial):
            return Outcome(job, "kept", kept.fields, kept.partial)
        job.entry.unlink(missing_ok=True)
        try:
            info = _isolated(job, how)
        except DeviceLostError:
            # Perhaps another video's doing. Alone with the device it must be its own.
            info = _isolated(job, how, alone=True)
        return Outcome(job, "done", info.fields, info.partial)
    except UnusableDeviceError:  # not of this video alone
        raise
    except Exception as error:  # one video never stops the others
        return _failure(job, error)


def _isolated(job: Job, how: _How, alone: bool = False) -> EntryInfo:
    """`extract_video` in a process of its own."""

    def report(progress: tuple[int, int]) -> None:
        if how.on_progress:
            how.on_progress(job, *progress)

    with how.pool.lent(alone=alone) if how.pool else nullcontext() as address:
        given = (job, how.recipe, how.keep_partial, how.decode, address)
        info: EntryInfo = isolation.run(
            extract_video, *given, timeout=how.timeout, on_report=report
        )
        return info


def _failure(job: Job, error: Exception) -> Outcome:
    kinds = {
        BrokenVideoError: "broken",
        TooShortError: "too short",
        isolation.CrashedError: "crashed",
        isolation.TimedOutError: "timed out",
        UserError: "failed",  # any other; the first two are of this kind too
    }
    for kind in kinds:
        if isinstance(error, kind):
            return Outcome(job, kinds[kind], reason=str(error))
    reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    return Outcome(job, "failed", reason=reason)


def _still_valid(job: Job, recipe: Recipe, keep_partial: bool) -> EntryInfo | None:
    """The entry's info, where it is what this job would write again."""
    if not job.entry.exists():
        return None
    entry = Entry(job.entry)
    try:
        info = entry.info()
    except DamagedEntryError:
        return None
    finally:
        entry.close()
    wanted = info.recipe == recipe and (keep_partial or not info.partial)
    return info if wanted and info.source.is_still(job.video) else None


@contextmanager
def _backend(name: str, scheduler: str | None) -> Iterator[None]:
    if name != "dask":
        if name not in joblib.parallel.BACKENDS:
            known = ", ".join(sorted({"dask", *map(str, joblib.parallel.BACKENDS)}))
            raise UserError(f"joblib has no backend {name!r}: it has {known}")
        with joblib.parallel_config(backend=name):
            yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "the dask backend is not installed: pip install 'twostream[dask]'"
        ) from None
    if scheduler is None:
        raise UserError("the dask backend needs --scheduler ADDRESS, as tcp://host:8786")
    try:
        client = Client(scheduler, timeout="10s")  # type: ignore[no-untyped-call]
    except OSError as error:
        raise UserError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    with client, joblib.parallel_config(backend="dask"):
        yield


def _write_failures(path: Path, failures: Sequence[Outcome]) -> None:
    if not failures:
        path.unlink(missing_ok=True)
        return
    rows = [[o.job.name, o.kind, o.reason] for o in failures]
    write_csv(path, [["video", "kind", "reason"], *rows])
