"""The videos of a folder, and which job each of them is."""

import os
from dataclasses import dataclass
from pathlib import Path

from flowcache.cache.folders import Skipped, walk
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError, printable
from flowcache.extraction.one import Job
from flowcache.extraction.outcome import Outcome
from flowcache.video.decode import EXTENSIONS


@dataclass(frozen=True)
class Found:
    """What lies under a folder of videos. Hidden files and folders are in none of the lists."""

    videos: list[Path]
    """Sorted; each file once, at its own place where that is in the folder, else where a link is."""

    ignored: list[Path]
    """Files whose names are not those of videos."""

    repeated: list[Skipped]
    """Links to videos and folders that are taken at another place."""

    lost: list[Skipped]
    """What could not be looked into, so that videos may be missing."""

    @property
    def size_bytes(self) -> int:
        """The size of all videos."""
        return sum(map(size_bytes, self.videos))


def find_videos(root: Path) -> Found:
    """Look through a folder, and through the folders and files to which links in it lead.

    Raises UserError where there is no such folder, or no video in it.
    """
    if not os.path.isdir(root):  # noqa: PTH112 (the method raises where a folder above is locked)
        raise UserError(
            f"{printable(root)} is no folder: name the folder that holds the videos", "videos"
        )
    skipped: list[Skipped] = []
    files = sorted(walk(root, skipped.append))
    named_so = [path for path in files if path.suffix.lower() in EXTENSIONS]
    videos, repeated = _each_file_once(root, named_so)
    lost = [one for one in skipped if one.lost]
    if not videos:
        raise UserError(
            f"{printable(root)} holds no video: files must end in one of "
            + " ".join(sorted(EXTENSIONS))
            + "".join(f"; {printable(one.path)} {one.reason}" for one in lost[:1]),
            "videos",
        )
    return Found(
        videos,
        [path for path in files if path.suffix.lower() not in EXTENSIONS],
        sorted(repeated + [one for one in skipped if not one.lost], key=lambda one: one.path),
        sorted(lost, key=lambda one: one.path),
    )


def plan(root: Path, found: Found, cache: FlowCache) -> tuple[list[Job], list[Outcome]]:
    """The jobs, largest file first so that none is left to run alone; and what fails before it begins."""
    todo: dict[Path, Job] = {}
    failed = []
    for video in found.videos:
        job = _job(root, video, cache)
        if not is_text(video.relative_to(root)):
            failed.append(Outcome(job, "failed", reason="its name is no UTF-8 text: rename it"))
            continue
        first = todo.setdefault(job.entry, job)
        if first is not job:
            reason = f"{first.name} has the same name but for its ending: rename one of them"
            failed.append(Outcome(job, "failed", reason=reason))
    for one in found.lost:
        failed.append(Outcome(_job(root, one.path, cache), "failed", reason=f"it {one.reason}"))
    return sorted(todo.values(), key=lambda job: -size_bytes(job.video)), failed


def size_bytes(path: Path) -> int:
    """A file's size; 0 where it has gone meanwhile, which is told when it is its turn."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _job(root: Path, video: Path, cache: FlowCache) -> Job:
    # Links are not resolved: the place in the tree is the name, also where a link leads elsewhere.
    relative = video.relative_to(root)
    entry = cache.path(relative.with_suffix("").as_posix())
    return Job(video.absolute(), printable(relative.as_posix()), entry.absolute())


def _each_file_once(root: Path, paths: list[Path]) -> tuple[list[Path], list[Skipped]]:
    real, real_root = {path: path.resolve() for path in paths}, root.resolve()
    first: dict[Path, Path] = {}
    for path in sorted(paths, key=lambda p: (real[p] != real_root / p.relative_to(root), p)):
        first.setdefault(real[path], path)
    repeated = [
        Skipped(path, f"is a link to {printable(first[real[path]])}, which is taken", lost=False)
        for path in paths
        if first[real[path]] != path
    ]
    return sorted(first.values()), repeated


def is_text(path: Path | str) -> bool:
    """Whether a name is UTF-8, as the ids of entries are."""
    try:
        str(path).encode("utf-8")
        return True
    except UnicodeEncodeError:
        return False
