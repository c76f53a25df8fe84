"""Which videos are meant by the paths of files and folders."""

from collections.abc import Sequence
from pathlib import Path

from flowcache.errors import UserError, printable
from flowcache.extraction.videos import find_videos

Failure = tuple[Path, str]
"""A path, and why nothing comes of it."""


def require_file(video: str | Path) -> Path:
    """The path of a video. UserError where there is no file."""
    path = Path(video)
    if not path.is_file():
        raise UserError(f"{printable(path)} is no file: name a video", "videos")
    return path


def videos_at(paths: Sequence[Path]) -> tuple[list[Path], list[Failure]]:
    """Files as they are named, and all videos below folders, each once; and what is lost already.

    A folder is searched as `extract-flow` searches it. Whether a file is a video is seen when it is read.
    """
    videos: list[Path] = []
    failures: list[Failure] = []
    for path in paths:
        if not path.is_dir():
            videos.append(path)
            continue
        try:
            found = find_videos(path)
        except UserError as error:
            failures.append((path, str(error)))
        else:
            videos += found.videos
            failures += [
                (one.path, f"{printable(one.path)}: it {one.reason}") for one in found.lost
            ]
    return list(dict.fromkeys(videos)), failures
