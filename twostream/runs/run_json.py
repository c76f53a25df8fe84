"""The record of what a run was told, and the claim to its folder."""

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from flowcache.atomic import atomic_path
from flowcache.errors import UserError
from twostream.runs.files import LAST, OF_A_RUN, RECORD
from twostream.runs.training_options import Options, RunOptions


def start_run(folder: Path, options: RunOptions, overwrite: bool) -> None:
    """Claim a run's folder and record its options and versions. UserError where it is taken."""
    if not is_first_process():
        return
    if (folder / LAST).exists() and not overwrite:
        raise UserError(
            f"{folder} holds a trained network: resume it, overwrite it, or name another folder",
            "overwrite",
        )
    for name in OF_A_RUN:
        (folder / name).unlink(missing_ok=True)
    write_json(folder / RECORD, {"options": asdict(options), "versions": versions()})


def recorded(kind: type[Options], folder: Path) -> Options:
    """The options of a run to be resumed. UserError where there is none."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return kind.from_plain(record["options"])
    except FileNotFoundError:
        raise UserError(f"{folder} holds no run to resume", "resume") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / RECORD} cannot be read: {error}") from None


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, keys sorted; it is whole or not there."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def is_first_process() -> bool:
    """In a distributed run the trainer starts this program once more for each further device."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


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
