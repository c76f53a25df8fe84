"""Which videos a folder of flow holds, and in which format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flowcache.cache.folders import Skipped, walk
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError, printable
from flowcache.exchange.contract import Format, format_named, names
from flowcache.extraction.videos import find_videos

AUTO = "auto"
"""The format is the one that the folder holds."""


@dataclass(frozen=True)
class FoundFlow:
    """The files of flow under a folder."""

    format_name: str

    videos: Mapping[str, Sequence[Path]]
    """The files of each video, by its id: its path in the folder."""

    ignored: Sequence[Path]
    """Files that are no flow of this format, such as frames that lie beside it."""

    lost: Sequence[Skipped]
    """What could not be looked into, so that flow may be missing."""


def find_flow(root: Path, format_name: str = AUTO) -> FoundFlow:
    """Look through a folder, and through folders to which links in it lead.

    Raises UserError where there is no such folder, no flow, or flow of several formats and none is named.
    """
    if not root.is_dir():
        raise UserError(
            f"{printable(root)} is no folder: name the folder that holds the flow", "folder"
        )
    if FlowCache.begun(root):
        raise UserError(
            f"{printable(root)} is a flow cache itself: there is nothing to import", "folder"
        )
    skipped: list[Skipped] = []
    files = sorted(walk(root, skipped.append))
    lost = sorted((one for one in skipped if one.lost), key=lambda one: one.path)
    wanted = names() if format_name == AUTO else [format_name]
    found = {name: _videos(format_named(name), files, root) for name in wanted}
    found = {name: videos for name, videos in found.items() if videos}
    if not found:
        what = "flow in a known form" if format_name == AUTO else f"flow that is {format_name}"
        raise UserError(
            f"{printable(root)} holds no {what}: see docs/formats.md for how files have to be named"
            + "".join(f"; {printable(one.path)} {one.reason}" for one in lost[:1]),
            "folder",
        )
    if len(found) > 1:
        kinds = ", ".join(f"{name} ({len(videos)} videos)" for name, videos in found.items())
        raise UserError(
            f"{printable(root)} holds flow in several forms: {kinds}; say which", "format_name"
        )
    ((name, videos),) = found.items()
    taken = {path for paths in videos.values() for path in paths}
    return FoundFlow(name, videos, [path for path in files if path not in taken], lost)


@dataclass(frozen=True)
class Matched:
    """Folders of flow and the videos that they were computed from."""

    videos: Mapping[str, Path]
    """The video of each id of flow; ids without one are not here."""

    names: Mapping[str, str]
    """The path under the folder of videos, without the ending, of each of these; it is the entry's id."""

    reasons: Mapping[str, str]
    """Why an id has no video."""

    unused: Sequence[Path]
    """Videos without flow."""


def match_videos(ids: Sequence[str], root: Path) -> Matched:
    """The video of each id: that of the same path, or else the only one of the same name.

    The latter is for flow that lies in no class folders. Raises UserError where there is no such folder,
    or no video in it.
    """
    by_path: dict[str, list[Path]] = {}
    by_name: dict[str, list[str]] = {}
    for path in find_videos(root).videos:
        name = path.relative_to(root).with_suffix("").as_posix()
        by_path.setdefault(name, []).append(path)
    for name in by_path:
        by_name.setdefault(PurePosixPath(name).name, []).append(name)
    videos, found_names, reasons = {}, {}, {}
    for identifier in ids:
        alike = by_name.get(PurePosixPath(identifier).name, [])
        candidates = [identifier] if identifier in by_path else alike
        paths = [path for name in candidates for path in by_path[name]]
        if len(paths) == 1:
            videos[identifier], found_names[identifier] = paths[0], candidates[0]
        elif paths:
            reasons[identifier] = f"{len(paths)} videos have its name: {_first_two(paths, root)}"
        else:
            reasons[identifier] = f"no video in {printable(root)} has its name"
    used = set(videos.values())
    unused = [path for paths in by_path.values() for path in paths if path not in used]
    return Matched(videos, found_names, reasons, unused)


def _videos(format_: Format, files: Sequence[Path], root: Path) -> dict[str, list[Path]]:
    videos: dict[str, list[Path]] = {}
    for path in files:
        if (identifier := format_.video_of(path, root)) is not None:
            videos.setdefault(identifier, []).append(path)
    return videos


def _first_two(paths: Sequence[Path], root: Path) -> str:
    return " and ".join(printable(path.relative_to(root)) for path in paths[:2])
