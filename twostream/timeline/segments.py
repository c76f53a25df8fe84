"""Scores over time → segments: from when to when which class is shown."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flowcache.types import Float32, Float64
from twostream.scoring.detection import Segment

Integers = npt.NDArray[np.int64]

_NONE = -1


def segments_of(
    probabilities: Float32,
    edges: Float64,
    classes: Sequence[str],
    *,
    min_length: float,
    threshold: float,
) -> list[Segment]:
    """Neighbouring parts with the same best class, as one; in order of time.

    Args:
        probabilities: (N, K), of N parts of a video that follow one another.
        edges: (N + 1), where each begins and the last one ends, seconds.
        classes: (K) names.
        min_length: what is shorter, seconds, becomes a part of its longer neighbour, the shortest first.
        threshold: where the best class is less probable than this there is no class, and no segment.

    The confidence of a segment is the mean probability of its class, over time.
    """
    labels = probabilities.argmax(1)
    labels[probabilities.max(1) < threshold] = _NONE
    firsts = np.arange(len(labels))
    firsts, labels = _joined(firsts, labels)
    while len(labels) > 1:
        lengths = np.diff(edges[np.append(firsts, len(edges) - 1)])
        shortest = int(lengths.argmin())
        if lengths[shortest] >= min_length * (1 - 1e-6):  # the edges are sums of hops
            break
        beside = [n for n in (shortest - 1, shortest + 1) if 0 <= n < len(labels)]
        labels[shortest] = labels[max(beside, key=lambda n: float(lengths[n]))]
        firsts, labels = _joined(firsts, labels)
    ends = [*firsts[1:].tolist(), len(probabilities)]
    seconds = np.diff(edges)
    return [
        Segment(
            float(edges[first]),
            float(edges[end]),
            classes[label],
            float(np.average(probabilities[first:end, label], weights=seconds[first:end])),
        )
        for first, end, label in zip(firsts.tolist(), ends, labels.tolist(), strict=True)
        if label != _NONE
    ]


def _joined(firsts: Integers, labels: Integers) -> tuple[Integers, Integers]:
    """Runs, by where they begin, with their labels; neighbours of one label become one."""
    begins = np.append(True, labels[1:] != labels[:-1])
    return firsts[begins], labels[begins]
