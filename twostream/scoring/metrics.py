"""What more can be said of scores than how often they are right.

All of it is of the videos that have a label; ScoresError where none has one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twostream.scoring.scores import Scores


def per_class(scores: Scores) -> dict[str, tuple[int, float]]:
    """For each class that has videos, in the order of the classes: their number, and their top-1."""
    right, labels = scores.right(), scores.labelled().labels
    return {
        scores.classes[k]: (int((labels == k).sum()), float(right[labels == k].mean()))
        for k in np.unique(labels)
    }


@dataclass(frozen=True, eq=False)
class Reliability:
    """The videos sorted into bins of equal width by the probability of the predicted class: arrays (B).

    Reference: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017,
        figure 1 and Eq. 3.
    """

    videos: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    """The mean of that probability in each bin; NaN where there is no video."""

    accuracy: npt.NDArray[np.float64]
    """The share of the videos in each bin that are right; NaN where there is none."""

    @property
    def expected_calibration_error(self) -> float:
        """The distances between both, averaged with the videos as weights: 0 to 1."""
        distances = np.nan_to_num(np.abs(self.confidence - self.accuracy))
        return float(distances @ self.videos / self.videos.sum())


def reliability(scores: Scores, bins: int = 15) -> Reliability:
    """How sure the scores are, and how often they are right then; a bin includes its upper end."""
    confidence = np.exp(_log_probabilities(scores).max(1))
    of_bin = np.ceil(confidence * bins).astype(np.int64).clip(1, bins) - 1
    videos = np.bincount(of_bin, minlength=bins)

    def means(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return np.where(videos, np.bincount(of_bin, values, bins) / np.maximum(videos, 1), np.nan)

    return Reliability(videos, means(confidence), means(scores.right()))


def expected_calibration_error(scores: Scores, bins: int = 15) -> float:
    """How far the probability of what is predicted is from how often that is right: 0 to 1.

    See `Reliability`.
    """
    return reliability(scores, bins).expected_calibration_error


def negative_log_likelihood(scores: Scores) -> float:
    """The mean of −ln of the probability of each video's class: the cross-entropy, in nats."""
    labels = scores.labelled().labels
    return float(-np.take_along_axis(_log_probabilities(scores), labels[:, None], 1).mean())


def _log_probabilities(scores: Scores) -> npt.NDArray[np.float64]:
    """Of the labelled videos: (N, K). Logarithms, since a small probability would round to 0."""
    logits = scores.labelled().logits.astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
