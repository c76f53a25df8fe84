"""Logits of clips → one vector of logits a video."""

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from flowcache.types import Float32, Float64
from twostream.runs.training_options import Average


class ClipAverage:
    """The mean of the logits of all clips and crops of each video.

    With `average="softmax"` it is the logarithm of the mean of their probabilities, and a softmax gives
    that mean back.
    """

    def __init__(self, videos: int, average: Average = "logits") -> None:
        self._average = average
        self._total: Float64 | None = None
        self._count = np.zeros(videos, np.int64)

    def add(self, logits: Float32, video: npt.NDArray[np.int64]) -> None:
        """Logits of some clips (B, K), and the number of the video of each (B,)."""
        scores = logits.astype(np.float64)
        if self._average == "softmax":
            scores = softmax(scores, axis=1)
        if self._total is None:
            self._total = np.zeros((len(self._count), scores.shape[1]))
        np.add.at(self._total, video, scores)
        np.add.at(self._count, video, 1)

    def result(self) -> Float32:
        """Of all videos, float32 (videos, K). ValueError where a video has no clip."""
        if self._total is None or (self._count == 0).any():
            raise ValueError("a video has no clip")
        mean = self._total / self._count[:, None]
        if self._average == "softmax":
            # A probability that underflowed to 0 in every clip must stay a number.
            mean = np.log(np.maximum(mean, np.finfo(np.float64).tiny))
        return mean.astype(np.float32)
