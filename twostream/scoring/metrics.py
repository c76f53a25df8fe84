"""What more can be said of scores than how often they are right.

All of it is of the videos that have a label; ScoresError where none has one.
"""

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


def expected_calibration_error(scores: Scores, bins: int = 15) -> float:
    """How far the probability of what is predicted is from how often that is right: 0 to 1.

    The videos are sorted into bins of equal width by the probability of the predicted class; the
    distances between its mean and the accuracy of each bin are averaged, weighted by the videos.

    Reference: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017,
        Eq. 3.
    """
    confidence = np.exp(_log_probabilities(scores).max(1))
    of_bin = np.ceil(confidence * bins).astype(np.int64)
    surplus = np.bincount(of_bin, confidence - scores.right())
    return float(np.abs(surplus).sum() / len(confidence))


def negative_log_likelihood(scores: Scores) -> float:
    """The mean of −ln of the probability of each video's class: the cross-entropy, in nats."""
    labels = scores.labelled().labels
    return float(-np.take_along_axis(_log_probabilities(scores), labels[:, None], 1).mean())


def _log_probabilities(scores: Scores) -> npt.NDArray[np.float64]:
    """Of the labelled videos: (N, K). Logarithms, since a small probability would round to 0."""
    logits = scores.labelled().logits.astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
