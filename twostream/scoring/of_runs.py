"""The scores that runs left in their folders, joined."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flowcache.errors import UserError
from twostream.runs import files
from twostream.runs.split_of_run import groups_of
from twostream.runs.views import file_of_views
from twostream.scoring.align import align
from twostream.scoring.scores import Scores


def scores_of(folders: Sequence[Path], views: str = "") -> list[Scores]:
    """The scores of the test videos, each under the name of its folder, in the order of the first.

    views: which of them, where `evaluate` gave several, as "3x10"; the runs' own by default.

    ScoresError where a file is missing, or they do not belong together; see `scoring.align`.
    """
    return _joined(folders, files.SCORES, views)


def held_out_scores_of(folders: Sequence[Path], views: str = "") -> list[Scores]:
    """The same of the videos that validated; UserError where a run has none."""
    for folder in folders:
        path = _path(folder, files.VALIDATION_SCORES, views)
        if not path.exists():
            raise UserError(
                f"{folder} has no {path.name}, the scores of videos that training held back: train it "
                "with a validation share, or fuse by a rule and weights that need no fitting",
                "rule",
            )
    return _joined(folders, files.VALIDATION_SCORES, views)


def have_held_out_scores(folders: Sequence[Path], views: str = "") -> bool:
    """Whether each of the runs has such scores."""
    return all(_path(folder, files.VALIDATION_SCORES, views).exists() for folder in folders)


def _joined(folders: Sequence[Path], name: str, views: str) -> list[Scores]:
    loaded = [
        replace(_grouped(folder, _path(folder, name, views)), name=files.name_of_run(folder))
        for folder in folders
    ]
    return align(loaded)


def _path(folder: Path, name: str, views: str) -> Path:
    return files.path_in_run(folder, file_of_views(folder, name, views))


def _grouped(folder: Path, path: Path) -> Scores:
    """Scores with their groups; those written before scores had them find them in the run's split."""
    scores = Scores.load(path)
    groups = {} if scores.groups else groups_of(folder)
    if not groups or not set(scores.ids) <= set(groups):
        return scores
    return replace(scores, groups=tuple(groups[identifier] for identifier in scores.ids))
