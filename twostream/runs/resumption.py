"""From which checkpoint a killed run goes on, and whether it would go on with what it had."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from flowcache.errors import UserError
from twostream.data.index import Item
from twostream.data.splits import Split
from twostream.runs.checkpoint import spec_in
from twostream.runs.checkpoint_file import UNREADABLE, read_checkpoint
from twostream.runs.files import BEST, LAST, PREVIOUS
from twostream.runs.spec import Spec


class Resumption(NamedTuple):
    """A checkpoint to go on from.

    note: what was wrong with a later one; empty where this is the last.
    """

    path: Path
    next_epoch: int
    spec: Spec
    note: str


def resumption(folder: Path) -> Resumption | None:
    """The latest checkpoint of a run that can be read; None where it was killed before its first.

    UserError where all of its checkpoints are damaged, and where the best epoch's is the only one.
    """
    problems: list[str] = []
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            content = read_checkpoint(path)
            epoch, spec = int(content["epoch"]), spec_in(content)
        except (*UNREADABLE, UserError) as error:
            problems.append(f"{path} is damaged ({str(error).partition(chr(10))[0]})")
            continue
        note = f"{problems[0]}: the run goes on from {path.name}" if problems else ""
        return Resumption(path, epoch + 1, spec, note)
    if problems:
        raise UserError(
            f"{' and '.join(problems)}: start the run again with overwrite", "overwrite"
        )
    if (folder / BEST).exists():
        raise UserError(
            f"{folder} has no {LAST} to go on from: name another folder, or start the run again with "
            "overwrite",
            "overwrite",
        )
    return None


def refuse_other_data(folder: Path, had: Spec, has: Spec, train: Sequence[Item]) -> None:
    """UserError where a run would be resumed with other videos, or other flow, than it had.

    had, has: what the checkpoint says, and what the options now lead to. train: the videos that train
    or choose the best epoch now.
    """
    wrong = had.recipe.differences(has.recipe)
    if had.classes != has.classes:
        wrong.append("other classes")
    if had.split != has.split:
        wrong.append(_moved(had.split, has.split))
    elif learnt := frozenset(had.learnt):
        wrong += [f"another file as {item.id}" for item in train if item.sha256 not in learnt][:1]
    if wrong:
        raise UserError(
            f"{folder} was begun with other data: the cache now has {'; '.join(wrong)}: give the cache "
            "as it was, or begin another run",
            "cache",
        )


def _moved(had: Split, has: Split) -> str:
    """How the first video that differs does: one that is new or gone, since others move because of it."""
    before, now = _parts(had), _parts(has)
    if new := sorted(now.keys() - before.keys()):
        return f"{new[0]}, which was not there then"
    if gone := sorted(before.keys() - now.keys()):
        return f"no {gone[0]}"
    first = min(i for i in before if before[i] != now[i])
    return f"{first} for {now[first]} and not for {before[first]}"


def _parts(split: Split) -> dict[str, str]:
    parts = {"training": split.train, "validation": split.validation, "the test": split.test}
    return {identifier: part for part, ids in parts.items() for identifier in ids}
