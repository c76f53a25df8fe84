"""A run's folder: what lies in it, and the record of what the run was told."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from flowcache.atomic import atomic_path
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream.data.clips import ClipSpec
from twostream.data.index import VideoIndex, read_index
from twostream.data.lists import read_class_list, read_hmdb51, read_list
from twostream.data.splits import Split, make_split
from twostream.training.fit import BEST, LAST, METRICS, Schedule

SCORES, PREDICTIONS, SPLIT = "scores.npz", "predictions.csv", "split.csv"
_RECORD = "run.json"


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Where the split comes from; see `splits.make_split` and `lists`."""

    train_list: str | None = None
    test_list: str | None = None
    class_list: str | None = None
    hmdb51: str | None = None
    split_number: int = 1
    groups: str | None = None
    test_share: float = 0.3
    validation_share: float = 0.2
    skip_missing: bool = False

    def carry_out(self, cache: FlowCache, seed: int) -> tuple[VideoIndex, Split]:
        """Index the cache and divide it."""
        classes = read_class_list(Path(self.class_list)) if self.class_list else None
        index = read_index(cache, Path(self.groups) if self.groups else None, classes)
        train: Sequence[str] | None = None
        test: Sequence[str] | None = None
        if self.hmdb51:
            train, test = read_hmdb51(
                Path(self.hmdb51), self.split_number, index, self.skip_missing
            )
        if self.train_list:
            train = read_list(Path(self.train_list), index, self.skip_missing)
        if self.test_list:
            test = read_list(Path(self.test_list), index, self.skip_missing)
        split = make_split(
            index,
            seed=seed,
            test_share=self.test_share,
            validation_share=self.validation_share,
            train=train,
            test=test,
        )
        return index, split


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """One run, as `run.json` records it; to a pretraining there is no more.

    options: of the model. trainer: Lightning's own options.
    """

    stream: str
    model: str
    options: Mapping[str, Any]
    clip: ClipSpec
    schedule: Schedule
    split: SplitOptions = field(default_factory=SplitOptions)
    batch_size: int = 32
    workers: int = 2
    seed: int = 0
    trainer: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `asdict`'s result, as JSON returns it. ValueError where it is of another command."""
        if set(plain) != {each.name for each in fields(cls)}:
            raise ValueError("its options are those of another command")
        return cls(
            **{
                **plain,
                "clip": ClipSpec.from_plain(plain["clip"]),
                "schedule": Schedule(**plain["schedule"]),
                "split": SplitOptions(**plain["split"]),
            }
        )

    @classmethod
    def recorded(cls, folder: Path) -> Self:
        """The options of a run to be resumed. UserError where there is none."""
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            return cls.from_plain(record["options"])
        except FileNotFoundError:
            raise UserError(f"{folder} holds no run to resume", "resume") from None
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{folder / _RECORD} cannot be read: {error}") from None


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """One training run. weights: a file, or "published". clips, crops: of each test video."""

    weights: str | None = None
    clips: int = 10
    crops: int = 1


def start_run(folder: Path, options: RunOptions, overwrite: bool) -> None:
    """Claim a run's folder and record its options and versions. UserError where it is taken."""
    if not is_first_process():
        return
    if (folder / LAST).exists() and not overwrite:
        raise UserError(
            f"{folder} holds a trained network: resume it, overwrite it, or name another folder",
            "overwrite",
        )
    for name in (BEST, LAST, METRICS, SCORES, PREDICTIONS, SPLIT):
        (folder / name).unlink(missing_ok=True)
    record = {"options": asdict(options), "versions": _versions()}
    with atomic_path(folder / _RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def is_first_process() -> bool:
    """In a distributed run the trainer starts this program once more for each further device."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def _versions() -> dict[str, str]:
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
