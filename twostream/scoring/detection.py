"""How well segments of untrimmed videos are found: mean average precision at a temporal overlap.

References:
    Caba Heilbron, Escorcia, Ghanem and Niebles, ActivityNet: A Large-Scale Video Benchmark for Human
        Activity Understanding, CVPR 2015, and the evaluation that its challenge published: which
        predicted segments count as found (`_found`).
    Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 2010, section 4.2, with the
        change of 2010 that every recall is taken: the interpolated average precision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowcache.errors import UserError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """A part of a video in which one class is shown: from `start` to `end`, seconds.

    confidence: 0 to 1; of what is known and not predicted it means nothing.
    """

    start: float
    end: float
    label: str
    confidence: float = 1.0


Segments = Mapping[str, Sequence[Segment]]
"""Those of each video, by its id."""


def mean_average_precision(predicted: Segments, true: Segments, overlap: float = 0.5) -> float:
    """The mean of `average_precisions` over the classes that there are to be found: 0 to 1.

    Raises UserError as it does, and where there is nothing to be found.
    """
    each = average_precisions(predicted, true, overlap)
    if not each:
        raise UserError("there is no true segment, so no prediction is right or wrong", "true")
    return float(np.mean(list(each.values())))


def average_precisions(
    predicted: Segments, true: Segments, overlap: float = 0.5
) -> dict[str, float]:
    """The interpolated average precision of each class that has a true segment, in alphabetical order.

    overlap: the least intersection over union of two segments that are taken for the same, above 0 and
        at most 1. What is predicted of other classes does not count.

    Raises UserError for an overlap outside of these limits, and for a video without true segments: an
    empty list says that it has none.
    """
    if not 0 < overlap <= 1:
        raise UserError(f"an overlap of {overlap} must be above 0 and at most 1", "overlap")
    if unknown := sorted(set(predicted) - set(true)):
        raise UserError(f"it is not known what {unknown[0]} shows: add its true segments", "true")
    classes = sorted({segment.label for segments in true.values() for segment in segments})
    return {
        label: _average_precision(_of_class(predicted, label), _of_class(true, label), overlap)
        for label in classes
    }


def _of_class(segments: Segments, label: str) -> Segments:
    return {video: [one for one in all_ if one.label == label] for video, all_ in segments.items()}


def _average_precision(predicted: Segments, true: Segments, overlap: float) -> float:
    """The area under precision over recall, where each precision is the best at that recall or more."""
    total = sum(map(len, true.values()))
    found = _found(predicted, true, overlap)
    if not len(found):
        return 0.0
    hits = np.cumsum(found)
    precision = hits / np.arange(1, len(found) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[found].sum() / total)


def _found(predicted: Segments, true: Segments, overlap: float) -> npt.NDArray[np.bool_]:
    """Whether each predicted segment is right, the surest first.

    Each takes the true segment of its video that it overlaps most and that no surer one has taken. So a
    true segment is found once; what is predicted of it beside that is wrong.
    """
    ranked = [(segment, video) for video, segments in predicted.items() for segment in segments]
    ranked.sort(key=lambda one: -one[0].confidence)
    left = {video: list(segments) for video, segments in true.items()}
    found = np.zeros(len(ranked), np.bool_)
    for number, (segment, video) in enumerate(ranked):
        overlaps = intersection_over_union([segment], left[video])[0]
        if len(overlaps) and overlaps.max() >= overlap:
            del left[video][int(overlaps.argmax())]
            found[number] = True
    return found


def intersection_over_union(some: Sequence[Segment], others: Sequence[Segment]) -> Floats:
    """Of each of M segments with each of N: (M, N), 0 to 1; 0 for two that have no length."""
    first, second = (
        np.array([(one.start, one.end) for one in segments], np.float64).reshape(-1, 2)
        for segments in (some, others)
    )
    starts = np.maximum(first[:, None, 0], second[None, :, 0])
    ends = np.minimum(first[:, None, 1], second[None, :, 1])
    both = np.maximum(0, ends - starts)
    lengths = (np.diff(first, axis=1), np.diff(second, axis=1).T)
    union = lengths[0] + lengths[1] - both
    ratio: Floats = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return ratio
