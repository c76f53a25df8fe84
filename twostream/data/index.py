"""Which videos there are: ids, labels and groups, read off a cache."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from flowcache.cache.entry import DamagedEntryError
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError

# `v_Archery_g03_c01`, and `April_09_brush_hair_u_nm_np1_ba_goo_0`: film, class, visible body parts,
# camera motion, number of people, viewpoint, quality, number.
_UCF101_GROUP = re.compile(r".*_g\d+(?=_)")
_HMDB51_FILM = re.compile(r"(?P<film>.+)_[fhlu]_[cn]m_np\d+_(ba|fr|le|ri)_(bad|med|goo)_\d+")


class VideoIndexError(UserError):
    """Videos, lists or groups that do not fit together; the message says which."""


@dataclass(frozen=True)
class Item:
    """One video: its id, the number of its class, its group, and what its entry holds.

    group: videos of one group (one recording, one person) must not be on both sides of a split.
    width, height: of the upright video, pixels, before it was resized. frame_rate: as its container
        states it, Hz. All are 0 where they are not known.
    """

    id: str
    label: int
    group: str
    frames: int
    fields: int
    sha256: str
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0

    @classmethod
    def unlabelled(cls, frames: int, fields: int, identifier: str = "") -> Self:
        """A video of which nothing is known but how many frames and fields there are."""
        return cls(identifier, -1, "", frames, fields, "")


@dataclass(frozen=True)
class VideoIndex:
    """All videos of a cache, sorted by id; `partial` are the ids of which only a beginning is kept."""

    items: tuple[Item, ...]
    classes: tuple[str, ...]
    partial: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"VideoIndex({len(self)} videos, {len(self.classes)} classes)"

    def select(self, ids: Sequence[str]) -> tuple[Item, ...]:
        """The items of these ids, in this order; KeyError for one that is not here."""
        by_id = {item.id: item for item in self.items}
        return tuple(by_id[i] for i in ids)


def read_index(
    cache: FlowCache, groups_file: Path | None = None, classes: Sequence[str] | None = None
) -> VideoIndex:
    """Index a cache whose first folder level names the classes.

    Groups come from `groups_file` (CSV with the columns video and group), else from UCF101's `_gNN_`
    in the name, or the film and the class that HMDB51's names begin with, else each video is a group of
    its own. `classes` fixes the order of the classes, and may name some that have no video here; a folder
    may be spelt otherwise as far as `folded` goes.

    Raises VideoIndexError for a video outside of any class, a class that is not in `classes`, a damaged
    entry, or a groups file that leaves a video out.
    """
    infos = dict(cache.infos())
    if not infos:
        raise VideoIndexError(
            f"{cache.root} holds no entry: run `twostream extract-flow VIDEOS` first"
        )
    for identifier in infos:
        if len(PurePosixPath(identifier).parts) < 2:
            raise VideoIndexError(
                f"{identifier} lies in no class folder: arrange videos as videos/<class>/<name>"
            )
    present = sorted({PurePosixPath(i).parts[0] for i in infos})
    names = tuple(classes or present)
    alike = {folded(name): label for label, name in enumerate(names)}
    labels = {
        folder: names.index(folder) if folder in names else alike.get(folded(folder))
        for folder in present
    }
    groups = None if groups_file is None else read_groups(groups_file)
    items = []
    for identifier, info in infos.items():
        if isinstance(info, DamagedEntryError):
            raise VideoIndexError(f"{info}: delete that entry and extract it again")
        folder = PurePosixPath(identifier).parts[0]
        if (label := labels[folder]) is None:
            raise VideoIndexError(f"the class list has no {folder!r}, which the cache has")
        items.append(
            Item(
                id=identifier,
                label=label,
                group=_group(identifier, groups),
                frames=info.frames,
                fields=info.fields,
                sha256=info.source.sha256,
                width=info.original_width,
                height=info.original_height,
                frame_rate=info.frame_rate,
            )
        )
    partial = tuple(i for i, info in infos.items() if getattr(info, "partial", ""))
    return VideoIndex(tuple(items), names, partial)


def read_groups(path: Path) -> dict[str, str]:
    """A CSV file with the columns video and group → group by video id."""
    try:
        # Spreadsheets put a mark in front of the first line, which "-sig" takes away.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VideoIndexError(f"{path} cannot be read as UTF-8 text: {error}") from None
    if any(names.count(name) != 1 for name in ("video", "group")):
        raise VideoIndexError(f"{path} needs a first line `video,group`, with each of these once")
    for number, row in enumerate(rows, 2):
        if not row["video"] or not row["group"]:
            raise VideoIndexError(
                f"{path}, line {number} ({shortened(row['video'] or '')}): it needs a video and a group"
            )
    groups: dict[str, str] = {}
    for row in rows:
        identifier = video_id(row["video"])
        if identifier in groups:
            raise VideoIndexError(f"{path} names {shortened(identifier)} twice: leave one line out")
        groups[identifier] = row["group"]
    return groups


def folded(name: str) -> str:
    """What `Air_Drumming` and `air drumming` share, which lists and folders write for one name."""
    return name.casefold().replace("_", " ")


def shortened(text: str) -> str:
    """A text of a file, as a message can quote it."""
    return text if len(text) <= 100 else f"{text[:100]}…"


def video_id(path: str) -> str:
    """`archery/v_01.avi` → `archery/v_01`; what follows a dot and holds a space is no ending."""
    pure = PurePosixPath(path)
    return (pure if " " in pure.suffix or not pure.suffix else pure.with_suffix("")).as_posix()


def _group(identifier: str, groups: Mapping[str, str] | None) -> str:
    if groups is not None:
        if identifier not in groups:
            raise VideoIndexError(f"the groups file has no line for {identifier}: add one")
        return groups[identifier]
    if match := _HMDB51_FILM.fullmatch(identifier):
        return match["film"]
    match = _UCF101_GROUP.match(identifier)
    return match[0] if match else identifier
