"""What an entry says of itself: the video it was made from, the recipe, and counts."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from flowcache.cache.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Source:
    """The video that an entry was made from."""

    name: str
    """Its path under the folder of videos."""

    size_bytes: int
    sha256: str
    modified_ns: int

    @classmethod
    def of(cls, path: Path, name: str) -> Self:
        """Reads the whole file for its digest."""
        stat = path.stat()
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(name=name, size_bytes=stat.st_size, sha256=sha256, modified_ns=stat.st_mtime_ns)

    def is_still(self, path: Path) -> bool:
        """Is this file what the entry was made from? Hashes it only where size or date leave doubt."""
        stat = path.stat()
        if stat.st_size != self.size_bytes:
            return False
        return stat.st_mtime_ns == self.modified_ns or Source.of(path, "").sha256 == self.sha256


@dataclass(frozen=True, kw_only=True)
class EntryInfo:
    """What an entry says of itself."""

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

    @property
    def saturated_share(self) -> float:
        """The share of displacement components that lay beyond the bound."""
        return self.saturated / (self.fields * 2 * self.height * self.width)

    def to_json(self) -> str:
        """As text, keys sorted, the recipe and the source nested."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From `to_json`'s text, also of an earlier format."""
        values = json.loads(text)
        values["recipe"] = Recipe.from_plain(values["recipe"])
        values["source"] = Source(**values["source"])
        return cls(**values)
