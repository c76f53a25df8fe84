"""A folder of flow that other programs computed → a cache like any other."""

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

from flowcache.cache.recipe import FROM_BOUND, Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError, printable
from flowcache.exchange.contract import Convention, format_named
from flowcache.exchange.found import AUTO, FoundFlow, Matched, find_flow, match_videos
from flowcache.exchange.import_one import ImportJob, import_video
from flowcache.extraction.many import Extraction, run_jobs
from flowcache.extraction.outcome import Outcome, Summary
from flowcache.extraction.videos import is_text

UNKNOWN = ("refused", "zero")
"""What displacements that are not known count as: the video is refused, or they are 0 px."""


def import_flow(
    folder: str | Path,
    cache: str | Path,
    *,
    videos: str | Path | None = None,
    frames: bool = True,
    format_name: str = AUTO,
    bound: float | None = None,
    quantizer_step: float | None = FROM_BOUND,
    frame_step: int = Recipe.frame_step,
    origin: str = "",
    unknown: str = "refused",
    jpeg_quality: int = Recipe.jpeg_quality,
    jobs: int = -1,
    timeout: float = 600.0,
    joblib_backend: str = "threading",
    scheduler: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Take over the flow of every video under a folder, as other programs left it.

    What is done already is kept, so this may be interrupted and called again.

    Args:
        folder: where the flow lies; docs/formats.md says how files are named.
        cache: the folder of the cache, which is made where it is not there yet.
        videos: the folder of the videos that the flow was computed from; their frames are kept beside it,
            at its size. An id of flow is that of the video of the same path, or the only one of its name.
        frames: False keeps no frames, and needs no videos; then only the temporal stream can be trained.
        format_name: "flo", "h5", "jpeg", "kitti", "npy", "npz", "png", or "auto": what the folder holds.
        bound: of pictures, the displacement that is white, which has to be known; of other formats the
            largest displacement that is kept, by default 20. Pixels.
        quantizer_step: the distance between stored displacements, pixels; by default bound / 255 of
            pictures, which is exact, and else bound / 127.
        frame_step: flow is from frame t to t + frame_step.
        origin: what computed the flow, in words; it is recorded.
        unknown: what displacements that are not known count as: "refused" or "zero".
        jpeg_quality: of the RGB frames, 1 to 100.
        jobs: how many videos at once, as joblib counts: −1 is one for each core.
        timeout: seconds without progress after which a video is given up.
        joblib_backend: where the videos' processes are started from; "threading" is this process.
        scheduler: the address of a Dask scheduler, whose workers start them instead.
        on_progress: called with (videos done, videos in all).
        on_note: told in words what is about to be done, and what is left out.

    Returns:
        What became of each video. One whose flow does not fit is named there and in `failures.csv`.

    Raises:
        UserError: where nothing can be imported at all, with what to do about it.
        NoSpaceError: where the device of the cache is full; what is done by then stays.
    """
    folder, cache = Path(folder), Path(cache)
    if unknown not in UNKNOWN:
        raise UserError(f"{unknown!r} is none of {', '.join(UNKNOWN)}", "unknown")
    if frames and videos is None:
        raise UserError(
            "name the folder of the videos, whose frames are kept beside the flow, or say that no frames "
            "are to be kept",
            "videos",
        )
    found = find_flow(folder, format_name)
    pictures = format_named(found.format_name).NEEDS_BOUND
    if pictures and bound is None:
        raise UserError(
            f"{printable(folder)} holds pictures, whose white may be any displacement: say the bound "
            "that they were written with (20 px in TSN's script and Feichtenhofer's data, 32 where "
            "denseflow was told none, 15 where dense_flow was)",
            "bound",
        )
    bound = Recipe.bound if bound is None else bound
    if pictures and quantizer_step is None:
        quantizer_step = bound / 255
    convention = Convention(bound=bound, frame_step=frame_step)
    recipe = Recipe.imported(
        found.format_name,
        origin,
        frames=frames,
        unknown=unknown,
        frame_step=frame_step,
        bound=bound,
        quantizer_step=quantizer_step,
        jpeg_quality=jpeg_quality,
    )
    matched = match_videos(sorted(found.videos), Path(videos)) if frames and videos else None
    opened = FlowCache.create(cache, recipe)
    on_note(f"flow of {len(found.videos)} videos → {printable(cache)}: {recipe}")
    if matched and (unused := matched.unused):
        on_note(f"{len(unused)} videos have no flow, the first is {printable(unused[0])}")
    todo, failed = _plan(folder, found, matched, opened)
    done = count(1)
    to_do = len(todo) + len(failed)
    summary = run_jobs(
        Extraction(recipe=recipe, function=import_video, arguments=(convention,), timeout=timeout),
        todo,
        failed,
        opened,
        jobs=jobs,
        joblib_backend=joblib_backend,
        scheduler=scheduler,
        on_outcome=lambda _: on_progress(next(done), to_do),
    )
    if not opened.ids():  # so that other words for the same files may follow
        opened.discard_if_empty()
    summary.ignored = list(found.ignored)
    return summary


def _plan(
    folder: Path, found: FoundFlow, matched: Matched | None, cache: FlowCache
) -> tuple[list[ImportJob], list[Outcome]]:
    """The jobs, those with most files first, and the outcomes of what fails before it begins."""
    todo: dict[Path, ImportJob] = {}
    failed = []
    sources: Mapping[str, Path] = matched.videos if matched else {}
    for identifier, files in sorted(found.videos.items()):
        name = matched.names.get(identifier, identifier) if matched else identifier
        entry = cache.path(name).absolute()
        paths = tuple(path.absolute() for path in files)
        source = sources.get(identifier)
        job = ImportJob(folder / identifier, printable(identifier), entry, paths, source)
        if matched and source is None:
            failed.append(Outcome(job, "failed", reason=matched.reasons[identifier]))
            continue
        if not is_text(identifier):
            failed.append(Outcome(job, "failed", reason="its name is no UTF-8 text: rename it"))
            continue
        first = todo.setdefault(entry, job)
        if first is not job:
            reason = f"{first.name} is flow of the same video: take one of them away"
            failed.append(Outcome(job, "failed", reason=reason))
    for one in found.lost:
        name = one.path.relative_to(folder).as_posix()
        job = ImportJob(one.path, printable(name), cache.path(name).absolute())
        failed.append(Outcome(job, "failed", reason=f"it {one.reason}"))
    return sorted(todo.values(), key=lambda job: -len(job.files)), failed
