"""How the extraction of a video ended, and that of a folder."""

import errno
from dataclasses import dataclass, field
from pathlib import Path

from flowcache.cache.folders import Skipped
from flowcache.errors import UserError, printable
from flowcache.extraction.one import Job, TooShortError
from flowcache.video.decode import BrokenVideoError
from flowcache.workers.device_client import DeviceLostError
from flowcache.workers.isolation import CrashedError, TimedOutError

LOST = "lost"
"""The process of the device ended meanwhile: the video is tried once more."""

_KINDS = {
    BrokenVideoError: "broken",
    TooShortError: "too short",
    DeviceLostError: LOST,
    CrashedError: "crashed",
    TimedOutError: "timed out",
    UserError: "failed",  # any other; the first two are of this kind too
}


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    job: Job

    kind: str
    """"done", "kept" (it was there already), "broken" (it cannot be decoded), "too short", "crashed"
    (its process died), "timed out", or "failed" (anything else)."""

    fields: int = 0

    reason: str = ""
    """One sentence where it failed; for a partial entry, where and why its video breaks."""

    damaged: str = ""
    """What was wrong with an entry that had to be made again."""

    saturated: float = 0.0
    """The share of displacement components that lay beyond the bound, and have it now."""

    @property
    def failed(self) -> bool:
        """The video has no entry."""
        return self.kind not in ("done", "kept")

    @classmethod
    def of_error(cls, job: Job, error: Exception) -> "Outcome":
        """What an error means for the job that it ended."""
        for kind, word in _KINDS.items():
            if isinstance(error, kind):
                return cls(job, word, reason=str(error))
        return cls(job, "failed", reason=_reason(error))


@dataclass
class Summary:
    """What an extraction did."""

    outcomes: list[Outcome] = field(default_factory=list)

    ignored: list[Path] = field(default_factory=list)
    """Files whose names are not those of videos."""

    repeated: list[Skipped] = field(default_factory=list)
    """Links to videos and folders that were taken at another place."""

    without_video: list[str] = field(default_factory=list)
    """The ids of entries that were there before and have no video in the folder."""

    seconds: float = 0.0

    @property
    def failures(self) -> list[Outcome]:
        """The videos without an entry, by name."""
        return sorted((o for o in self.outcomes if o.failed), key=lambda o: o.job.name)

    @property
    def partial(self) -> list[Outcome]:
        """The videos of which only the beginning was kept, by name."""
        kept = (o for o in self.outcomes if not o.failed and o.reason)
        return sorted(kept, key=lambda o: o.job.name)

    @property
    def damaged(self) -> list[Outcome]:
        """The videos whose entries were damaged and made again, by name."""
        return sorted((o for o in self.outcomes if o.damaged), key=lambda o: o.job.name)

    @property
    def saturated(self) -> list[Outcome]:
        """The videos of whose displacements some lay beyond the bound, those with most of them first."""
        return sorted((o for o in self.outcomes if o.saturated), key=lambda o: -o.saturated)

    def count(self, kind: str) -> int:
        """How many jobs ended so."""
        return sum(o.kind == kind for o in self.outcomes)

    @property
    def fields(self) -> int:
        """Fields computed in this run."""
        return sum(o.fields for o in self.outcomes if o.kind == "done")

    def __str__(self) -> str:
        return (
            f"{self.count('done')} videos done ({self.fields} fields), {self.count('kept')} kept from "
            f"before, {len(self.failures)} without an entry"
        )


def _reason(error: Exception) -> str:
    """One line for an error that is none of ours."""
    if isinstance(error, OSError) and error.strerror:
        if error.errno == errno.ENAMETOOLONG:
            return "its name is too long for the folder of the cache: rename it"
        name = f": {printable(error.filename)}" if error.filename else ""
        return f"{error.strerror}{name}".partition("\n")[0]
    return f"{type(error).__name__}: {error}".partition("\n")[0]
