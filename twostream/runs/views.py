"""Which clips and crops of a video are scored, and how the files of scores of several such are called."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flowcache.errors import UserError
from twostream.data.clip_spec import Crops
from twostream.runs.files import METRICS
from twostream.runs.training_options import Average

_CROPS: dict[str, Crops] = {"1": 1, "3": 3, "10": 10}


@dataclass(frozen=True)
class Views:
    """Evenly spaced clips of a video, crops of each, and what is averaged over both."""

    clips: int
    crops: Crops
    average: Average = "logits"

    def __str__(self) -> str:
        """As `25x10`, or `25x10-softmax`."""
        name = f"{self.clips}x{self.crops}"
        return name if self.average == "logits" else f"{name}-{self.average}"

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Undoes `str`. UserError for other text."""
        found = re.fullmatch(r"([1-9]\d*)x(1|3|10)(?:-(logits|softmax))?", text)
        if not found:
            raise UserError(
                f"{text} does not say clips and crops (1, 3 or 10): write 25x10, or 25x10-softmax",
                "views",
            )
        average: Average = "softmax" if found[3] == "softmax" else "logits"
        return cls(int(found[1]), _CROPS[found[2]], average)


def file_of_views(folder: Path, name: str, views: str) -> str:
    """What a file of a run's scores, or of their measures, is called for views that a user asks for.

    `scores-25x10.npz`, or plainly `scores.npz` where these are the run's own, or none are asked for.
    UserError where the text says no views.
    """
    if not views or own_views(folder) == (asked := Views.of_text(views)):
        return name
    return with_views(name, asked)


def with_views(name: str, views: Views | str) -> str:
    """`scores.npz`, `25x10` → `scores-25x10.npz`."""
    stem, _, ending = name.rpartition(".")
    return f"{stem}-{views}.{ending}"


def own_views(folder: Path) -> Views | None:
    """Those with which a run was scored first; None where it has no scores yet."""
    try:
        own = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        # Runs of before 2026-11-26 averaged logits, and did not say so.
        return Views(own["clips"], own["crops"], own.get("average", "logits"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
