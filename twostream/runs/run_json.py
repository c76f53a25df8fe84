"""The record of what a run was told, and the claim to its folder."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flowcache.atomic import atomic_path
from flowcache.errors import UserError
from twostream.runs.files import BEST, LAST, METRICS, OF_A_RUN, OF_VIEWS, RECORD, SCORES
from twostream.runs.training_options import Options, RunOptions, TrainerOptions
from twostream.runs.views import with_views


def is_taken(folder: Path) -> bool:
    """Whether a folder holds a trained network, or the results of one or of a fusion."""
    return any((folder / name).exists() for name in (BEST, LAST, SCORES, METRICS))


def refuse_taken(folder: Path, overwrite: bool) -> None:
    """UserError where a folder holds what is not to be replaced; see `is_taken`."""
    if is_taken(folder) and not overwrite:
        raise UserError(
            f"{folder} holds a trained network or its results: resume it, overwrite it, or name another "
            "folder",
            "overwrite",
        )


def start_run(folder: Path, options: RunOptions, **more: Any) -> None:
    """Take away what an earlier run left in a folder, and record options, versions and what is given.

    Scores of other views go too: they are of the network that is replaced.

    more: what JSON can hold, by name.
    """
    for name in OF_A_RUN:
        (folder / name).unlink(missing_ok=True)
    for name in OF_VIEWS:
        for path in folder.glob(with_views(name, "*")):
            path.unlink()
    record = {"options": asdict(options), "versions": versions(), **more}
    write_json(folder / RECORD, record)


def recorded(kind: type[Options], folder: Path, stream: str | None = None) -> Options:
    """The options of a run to be resumed. UserError where there is none, or one of another stream."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        options = kind.from_plain(record["options"])
    except FileNotFoundError:
        raise UserError(f"{folder} holds no run to resume", "resume") from None
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{folder / RECORD} cannot be read: {error}") from None
    if stream and options.stream != stream:
        raise UserError(
            f"{folder} holds a run of the {options.stream} stream: name that, or another folder",
            "stream",
        )
    return options


def refuse_new_options(folder: Path, names: Sequence[str]) -> None:
    """UserError where a run that is resumed is given options, which are named."""
    for name in names:
        raise UserError(
            f"a resumed run goes on with the options of {folder / RECORD}: leave out "
            f"{name.replace('_', ' ')}",
            name,
        )


def precision_of(folder: Path) -> str:
    """The precision with which a run was trained, the usual one where there is no record of it."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return str(record["options"]["trainer"]["precision"])
    except (OSError, LookupError, TypeError, ValueError, RecursionError):
        return TrainerOptions.precision


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, keys sorted; it is whole or not there."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def is_first_process() -> bool:
    """Whether this is the one process of a distributed run that writes files and says what it does."""
    from lightning.fabric.utilities.rank_zero import (
        rank_zero_only,  # knows torchrun, SLURM and others
    )

    rank: int = getattr(rank_zero_only, "rank", 0)
    # Lightning's own processes know their number on their machine alone, until the training begins.
    return rank == 0 and os.environ.get("NODE_RANK", "0") == "0"


def versions() -> dict[str, str]:
    """The versions of what decides a run's numbers."""
    names = (
        "twostream",
        "torch",
        "lightning",
        "numpy",
        "h5py",
        "av",
        "opencv-contrib-python-headless",
    )
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
