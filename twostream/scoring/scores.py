"""What a network says of each video, and how right it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from flowcache.atomic import atomic_path
from flowcache.errors import UserError
from flowcache.types import Float32


class ScoresError(UserError):
    """Scores that cannot be read, or do not belong together; the message says which."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Logits of videos.

    name: whose scores these are, such as "temporal".
    ids: (N) video ids, each once. labels: int64 (N,), −1 where there is none.
    logits: float32 (N, K); never probabilities, so that a softmax is applied once, by whoever wants it.
    classes: (K) names. trained_on: ids that training saw, the validation part included.
    """

    name: str
    ids: tuple[str, ...]
    logits: Float32
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    trained_on: tuple[str, ...]

    def __post_init__(self) -> None:
        n, k = len(self.ids), len(self.classes)
        if self.logits.shape != (n, k) or self.labels.shape != (n,):
            raise ScoresError(
                f"{self.name}: {n} videos and {k} classes need logits ({n}, {k}) and {n} labels, not "
                f"{self.logits.shape} and {self.labels.shape}"
            )
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

    def top(self, k: int) -> float:
        """The share of videos whose class is among the k best. A tie counts against the video."""
        return float((self._rank() <= k).mean())

    def mean_class_accuracy(self) -> float:
        """Top-1 of each class that has videos, averaged over those classes."""
        right = self._rank() == 1
        return float(np.mean([right[self.labels == k].mean() for k in np.unique(self.labels)]))

    def _rank(self) -> npt.NDArray[np.int64]:
        """How many classes score no less than the true one, itself included: (N,)."""
        own = np.take_along_axis(self.logits, self.labels[:, None], 1)
        return np.asarray((self.logits >= own).sum(1), np.int64)

    def confusion(self) -> npt.NDArray[np.int64]:
        """(K, K) counts: row the true class, column the predicted one."""
        k = len(self.classes)
        flat = self.labels * k + self.logits.argmax(1)
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
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """From `save`'s file; ScoresError where it is missing or something else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    name=str(file["name"]),
                    ids=tuple(file["ids"].tolist()),
                    logits=file["logits"],
                    labels=file["labels"],
                    classes=tuple(file["classes"].tolist()),
                    trained_on=tuple(file["trained_on"].tolist()),
                )
        except FileNotFoundError:
            raise ScoresError(
                f"{path} does not exist: train and evaluate that stream first"
            ) from None
        except (OSError, LookupError, TypeError, ValueError, EOFError, BadZipFile) as error:
            raise ScoresError(f"{path} is no scores file: {error}") from None
