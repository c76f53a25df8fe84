"""What an entry says of itself: the video it was made from, the recipe, and counts."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Self

from flowcache.cache.recipe import Recipe

LONGEST_SIDE = 65_500
"""Of a stored frame, pixels; the most that a JPEG can have."""

MOST_PIXELS = 1 << 26
"""Of a stored frame. What says that it has more would take gigabytes and is not believed."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The video that an entry was made from."""

    name: str
    """Its path under the folder of videos."""

    size_bytes: int
    sha256: str
    modified_ns: int

    def __post_init__(self) -> None:
        _require_types(self)

    @classmethod
    def of(cls, path: Path, name: str) -> Self:
        """Reads the whole file for its digest."""
        stat = path.stat()
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(name=name, size_bytes=stat.st_size, sha256=sha256, modified_ns=stat.st_mtime_ns)

    def is_still(self, path: Path) -> bool:
        """Is this file, to the byte, what the entry was made from? Its date says nothing about that."""
        return path.stat().st_size == self.size_bytes and Source.of(path, "").sha256 == self.sha256


@dataclass(frozen=True, kw_only=True)
class EntryInfo:
    """What an entry says of itself. Raises ValueError for numbers that no entry can have."""

    recipe: Recipe
    source: Source

    original_width: int
    original_height: int
    """Of the upright video, pixels."""

    width: int
    height: int
    """As stored, pixels."""

    frames: int
    fields: int
    """How many of each; fields = frames − frame_step."""

    frame_rate: float
    """As the container states it, 0 where it states none. Hz."""

    times_from: str
    """Where the time stamps come from, see `decode.display_times`."""

    saturated: int
    """How many displacement components lay beyond the bound."""

    partial: str
    """Why the video was not decoded to its end, empty where it was."""

    complete: str = "unknown"
    """"yes" where the video's file announces its end and holds it; "unknown" where nothing tells."""

    flow_sha256: str = ""
    """Of the files that the flow was imported from; empty where it was computed."""

    def __post_init__(self) -> None:
        _require_types(self)
        counts = (self.original_width, self.original_height, self.width, self.height, self.fields)
        if min(counts) < 1 or self.saturated < 0 or not 0 <= self.frame_rate < math.inf:
            raise ValueError("it says of itself what no entry can have")
        if max(self.width, self.height) > LONGEST_SIDE or self.width * self.height > MOST_PIXELS:
            raise ValueError(f"frames of {self.width}x{self.height} pixels are too large")
        if self.fields != self.frames - self.recipe.frame_step:
            raise ValueError(f"{self.frames} frames cannot have {self.fields} fields")

    @property
    def values(self) -> int:
        """How many displacement components there are."""
        return self.fields * self.recipe.components * self.height * self.width

    @property
    def saturated_share(self) -> float:
        """The share of them that lay beyond the bound."""
        return self.saturated / self.values

    def to_json(self) -> str:
        """As text, keys sorted, the recipe and the source nested."""
        return json.dumps(asdict(self) | {"recipe": self.recipe.to_plain()}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """From `to_json`'s text, also of an earlier format. Raises ValueError for anything else."""
        values = json.loads(text)
        if not isinstance(values, dict) or not isinstance(values.get("source"), dict):
            raise ValueError("what it says of itself is not complete")
        values["recipe"] = Recipe.from_plain(values["recipe"])
        values["source"] = Source(**values["source"])
        return cls(**values)


def _require_types(record: Any) -> None:
    """ValueError where a value is of another type than its field says; an integer is a float, too."""
    for name, allowed in _types(record.__class__):
        value = getattr(record, name)
        if not isinstance(value, allowed) or (value.__class__ is bool and allowed is not bool):
            raise ValueError(f"its {name} is {value!r:.50}")


@cache
def _types(record: Any) -> list[tuple[str, Any]]:
    """The fields of a dataclass, and what their values may be instances of."""
    members = fields(record)
    return [(one.name, (float, int) if one.type is float else one.type) for one in members]
