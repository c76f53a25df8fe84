"""What a network says of each video, and how right it is."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast, get_args
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from flowcache.atomic import atomic_path
from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.runs.training_options import Average

_UNREADABLE = (
    OSError,
    LookupError,
    TypeError,
    ValueError,
    EOFError,
    MemoryError,
    OverflowError,
    RuntimeError,
    SyntaxError,  # NumPy reads a header as a Python literal
    BadZipFile,
    zlib.error,
)

FUSED = "fused"
"""What the scores of a fusion are called, beside the names of its runs."""


class ScoresError(UserError):
    """Scores that cannot be read, or do not belong together; the message says which."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Logits of videos.

    name: whose scores these are, such as "temporal".
    ids: (N) video ids, each once. labels: int64 (N,), −1 where there is none.
    logits: float32 (N, K); never probabilities, so that a softmax is applied once, by whoever wants it.
    classes: (K) names. trained_on: ids that training saw, the validation part included.
    clips, crops: over how many clips of each video, and crops of each clip, is averaged; 0 where that
        is not known.
    average: whether the logits are averages of the clips' logits, or logarithms of the averages of their
        probabilities (softmax).
    groups: (N) the group of each video; videos of one group (one recording, one person) are no
        independent observations. Empty where that is not known: each is a group of its own.
    ranks_only: the logits say which class is the likelier one, and not how likely it is, as the margins
        of a support vector machine do: their softmax is no probability.
    """

    name: str
    ids: tuple[str, ...]
    logits: Float32
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    trained_on: tuple[str, ...]
    clips: int = 0
    crops: int = 0
    groups: tuple[str, ...] = ()
    average: Average = "logits"
    ranks_only: bool = False

    def __post_init__(self) -> None:
        n, k = len(self.ids), len(self.classes)
        if self.logits.shape != (n, k) or self.labels.shape != (n,):
            raise ScoresError(
                f"{self.name}: {n} videos and {k} classes need logits ({n}, {k}) and {n} labels, not "
                f"{self.logits.shape} and {self.labels.shape}"
            )
        if self.groups and len(self.groups) != n:
            raise ScoresError(f"{self.name}: {n} videos need {n} groups, not {len(self.groups)}")
        if self.average not in get_args(Average):
            raise ScoresError(f"{self.name}: there is no average of {self.average!r}")
        if len(set(self.ids)) != n:
            raise ScoresError(f"{self.name}: a video is scored twice")
        if not np.isfinite(self.logits).all():
            worst = self.ids[int(np.argmin(np.isfinite(self.logits).all(1)))]
            raise ScoresError(f"{self.name}: the scores of {worst} are not numbers")
        if n and not (self.labels.min() >= -1 and self.labels.max() < k):
            raise ScoresError(f"{self.name}: a label is none of the {k} classes")

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Scores({self.name!r}, {len(self)} videos, {len(self.classes)} classes)"

    def softmax(self) -> Float32:
        """Probabilities (N, K)."""
        powers = np.exp(self.logits - self.logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)

    def labelled(self) -> Self:
        """Those of the videos that have a label, in their order. ScoresError where none has one."""
        rows = np.flatnonzero(self.labels >= 0)
        if not len(rows):
            raise ScoresError(f"{self.name}: no video has a label, so nothing is right or wrong")
        if len(rows) == len(self):
            return self
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            logits=self.logits[rows],
            labels=self.labels[rows],
            groups=tuple(self.groups[row] for row in rows) if self.groups else (),
        )

    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each labelled video's class scores more than all others. A tie is wrong."""
        return np.asarray(self._rank() == 1, np.bool_)

    def top(self, k: int) -> float:
        """The share of labelled videos whose class is among the k best. A tie counts against one."""
        return float((self._rank() <= k).mean())

    def mean_class_accuracy(self) -> float:
        """Top-1 of each class that has videos, averaged over those classes."""
        right, labels = self.right(), self.labelled().labels
        return float(np.mean([right[labels == k].mean() for k in np.unique(labels)]))

    def _rank(self) -> npt.NDArray[np.int64]:
        """How many classes score no less than the true one, itself included: (labelled videos)."""
        one = self.labelled()
        own = np.take_along_axis(one.logits, one.labels[:, None], 1)
        return np.asarray((one.logits >= own).sum(1), np.int64)

    def confusion(self) -> npt.NDArray[np.int64]:
        """(K, K) counts of labelled videos: row the true class, column the predicted one."""
        k, one = len(self.classes), self.labelled()
        flat = one.labels * k + one.logits.argmax(1)
        return np.bincount(flat, minlength=k * k).reshape(k, k)

    def save(self, path: Path) -> None:
        """As .npz, without pickles."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                name=np.array(self.name),
                ids=np.array(self.ids, np.str_),
                logits=self.logits,
                labels=self.labels,
                classes=np.array(self.classes, np.str_),
                trained_on=np.array(self.trained_on, np.str_),
                views=np.array([self.clips, self.crops]),
                groups=np.array(self.groups, np.str_),
                average=np.array(self.average),
                ranks_only=np.array(self.ranks_only),
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """From `save`'s file; ScoresError where it is missing or something else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                clips, crops = file["views"].tolist() if "views" in file else (0, 0)
                return cls(
                    name=str(file["name"]),
                    ids=_texts(file["ids"]),
                    logits=_numbers(file["logits"], np.float32),
                    labels=_numbers(file["labels"], np.int64),
                    classes=_texts(file["classes"]),
                    trained_on=_texts(file["trained_on"]),
                    clips=int(clips),
                    crops=int(crops),
                    groups=_texts(file["groups"]) if "groups" in file else (),
                    average=cast(Average, str(file["average"]) if "average" in file else "logits"),
                    ranks_only="ranks_only" in file and bool(file["ranks_only"]),
                )
        except FileNotFoundError:
            raise ScoresError(
                f"{path} does not exist: train and evaluate that stream first"
            ) from None
        except ScoresError as error:
            raise ScoresError(f"{path}: {error}") from None
        except _UNREADABLE as error:
            raise ScoresError(f"{path} is no scores file: {str(error)[:200]}") from None


def _texts(values: npt.NDArray[Any]) -> tuple[str, ...]:
    if values.dtype.kind != "U" or values.ndim != 1:
        raise TypeError(f"an array of {values.dtype} {values.shape} where texts should be")
    return tuple(values.tolist())


def _numbers(values: npt.NDArray[Any], kind: type[np.number]) -> npt.NDArray[Any]:
    if values.dtype != kind:
        raise TypeError(f"an array of {values.dtype} where {np.dtype(kind)} should be")
    return values
