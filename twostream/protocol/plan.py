"""A protocol in its folder: what it was told, its folds, and where each of its runs lies."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import filelock

from flowcache.atomic import atomic_path
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream.data.split_lists.file_text import numbered_lines
from twostream.data.streams import STREAMS
from twostream.option_fields import from_flat
from twostream.protocol.folds import Fold, make_folds
from twostream.protocol.leaks import find_leaks, sentence_about
from twostream.protocol.options import ProtocolOptions
from twostream.runs.model_recipe import standard
from twostream.runs.run_json import write_json
from twostream.runs.split_of_run import index_of
from twostream.runs.training_options import SplitOptions, TrainOptions
from twostream.scoring.baseline import NO_PICTURE
from twostream.scoring.scores import FUSED

RECORD = "protocol.json"

OF_PROTOCOL = {"seed", *(each.name for each in fields(SplitOptions))} - {"validation_share"}
"""What a training cannot say for itself: which videos train and test, and with which seed."""

_TAKEN = ("", ".", "..", FUSED, NO_PICTURE)
"""What a training cannot be called."""


@dataclass(frozen=True)
class Training:
    """One run of a protocol: a fold, a seed, and the name of what is trained, as "temporal"."""

    fold: str
    seed: int
    name: str
    folder: Path
    options: TrainOptions

    def __str__(self) -> str:
        return f"fold {self.fold}, seed {self.seed}, {self.name}"


@dataclass(frozen=True)
class Protocol:
    """What a protocol consists of. runs: what is trained in every fold with every seed, by name."""

    folder: Path
    options: ProtocolOptions
    runs: Mapping[str, TrainOptions]
    folds: tuple[Fold, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, as whole numbers."""
        return tuple(int(seed) for seed in self.options.seeds)

    def trainings(self) -> Iterator[Training]:
        """Every run, all those of one fold and seed side by side."""
        for seed in self.seeds:
            for fold in self.folds:
                for name in self.runs:
                    yield self.training(fold.name, seed, name)

    def training(self, fold: str, seed: int, name: str) -> Training:
        """One of the runs."""
        run = self.runs[name]
        split = SplitOptions(
            train_list=str(self.folder / fold / "train.txt"),
            test_list=str(self.folder / fold / "test.txt"),
            class_list=self.options.class_list,
            groups=self.options.groups,
            validation_share=run.split.validation_share,
        )
        folder = self.folder / fold / f"seed-{seed}" / name
        return Training(fold, seed, name, folder, replace(run, seed=seed, split=split))


def train_options(name: str, given: Mapping[str, Any]) -> TrainOptions:
    """The options of a run by their names, with the stream that its name is where none is given.

    UserError for an option that there is not, for one that is the protocol's, and where neither says a
    stream.
    """
    if others := [option for option in given if option in OF_PROTOCOL]:
        raise UserError(
            f"{name} says {others[0].replace('_', ' ')}, which is one for all trainings: leave it out, "
            "and say it to the protocol",
            "trainings",
        )
    if given.get("stream", name) not in STREAMS:
        raise UserError(
            f"{name} says no stream: call it {', '.join(STREAMS)}, or give a stream with its options",
            "trainings",
        )
    return from_flat(TrainOptions, {"stream": name, **given})


def begin(
    cache: FlowCache,
    folder: Path,
    options: ProtocolOptions,
    runs: Mapping[str, TrainOptions],
    say: Callable[[str], None] = lambda _: None,
) -> Protocol:
    """Make the folds and record them in the folder; or read them, where it holds this protocol already.

    The folds belong to the protocol: videos that come into the cache later have no part in it. Seeds may
    be added or left out later. say: is told of classes that a fold tests and does not train, and of
    near-duplicates across a fold.

    UserError where the folder holds another protocol, and VideoIndexError where there are no such folds.
    """
    runs = {name: standard(run) for name, run in runs.items()}
    if not runs or any(name in _TAKEN or "/" in name for name in runs):
        raise UserError(
            f"each training needs a name of its own that can be a folder's, and is neither `{FUSED}` nor "
            f"`{NO_PICTURE}`",
            "trainings",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / ".lock"):  # another process may begin the same protocol
        if (folder / RECORD).exists():
            had = recorded(folder)
            if (replace(had.options, seeds=options.seeds), had.runs) != (options, runs):
                raise UserError(
                    f"{folder} holds a protocol with other options: name another folder, or leave all "
                    "options out to go on with it",
                    "run",
                )
            folds = had.folds
        else:
            folds = tuple(make_folds(index_of(cache, options), options, say))
            for fold in folds:
                for part in ("train", "test"):
                    _write_list(folder / fold.name / f"{part}.txt", getattr(fold, part))
            if leaks := sentence_about(find_leaks(cache, folds)):
                say(leaks)
        record = {
            "options": asdict(options),
            "runs": {name: asdict(run) for name, run in runs.items()},
            "folds": [asdict(fold) for fold in folds],
        }
        write_json(folder / RECORD, record)
    return Protocol(folder, options, runs, folds)


def recorded(folder: Path) -> Protocol:
    """The protocol that a folder holds. UserError where there is none, or it cannot be read."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        seeds = tuple(record["options"]["seeds"])
        return Protocol(
            folder,
            ProtocolOptions(**record["options"] | {"seeds": seeds}),
            {name: TrainOptions.from_plain(run) for name, run in record["runs"].items()},
            tuple(
                Fold(fold["name"], tuple(fold["train"]), tuple(fold["test"]))
                for fold in record["folds"]
            ),
        )
    except FileNotFoundError:
        raise UserError(f"{folder} holds no protocol: name a scheme", "scheme") from None
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{folder / RECORD} cannot be read: {error}") from None


def _write_list(path: Path, ids: tuple[str, ...]) -> None:
    # With an ending, the last word of a name is not taken for the number of a class.
    lines = [f"{identifier}.avi" for identifier in ids]
    for line in lines:
        if [read for _, read in numbered_lines(line)] != [line]:
            raise UserError(
                f"{line!r} cannot stand in a list: rename it, without line breaks and spaces at its ends"
            )
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")
