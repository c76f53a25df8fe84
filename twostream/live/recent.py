"""The labels of the last half minute, as a timeline that moves along."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flowcache.quantize import Quantizer
from flowcache.types import Float32, UInt8
from twostream.live.labels import Label
from twostream.scoring.detection import Segment
from twostream.timeline.drawing import Drawing, Moment

_SECONDS = 30.0


class RecentPicture:
    """Draws each label, with the timeline of the last half minute."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes, self._drawing = classes, Drawing(classes)
        self._segments = deque[Segment]()

    def __call__(self, label: Label) -> UInt8:
        """The picture of one label, uint8 (H, W, 3)."""
        self._append(label)
        span = (max(0.0, label.time - _SECONDS), max(_SECONDS, label.time))
        moment = Moment(label.time, label.probabilities, self._segments, span)
        return self._drawing(label.rgb, _pixels(label), moment)

    def _append(self, label: Label) -> None:
        """Lengthen the last segment, which ends where the next one begins."""
        *_, result = label.probabilities.values()
        best = int(np.argmax(result))
        if self._segments:
            self._segments[-1] = replace(self._segments[-1], end=label.time)
        if not self._segments or self._segments[-1].label != self._classes[best]:
            one = Segment(label.time, label.time, self._classes[best], float(result[best]))
            self._segments.append(one)
        while self._segments[0].end < label.time - _SECONDS:
            self._segments.popleft()


def _pixels(label: Label) -> Float32 | None:
    """The flow, float32 (2, H, W)."""
    if label.codes is None:
        return None
    quantizer: Quantizer = label.recipe.quantizer
    return quantizer.decode(label.codes[None, :2])[0]
