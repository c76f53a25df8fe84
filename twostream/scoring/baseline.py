"""What can be told of videos without a look at them.

Cut-out crops have the size of what moves in them, and scraped classes come from different sites: then
size, length and frame rate tell the class, and a network may learn these in place of what it should see.
"""

from collections.abc import Sequence

import numpy as np

from twostream.data.index import Item, VideoIndex
from twostream.scoring.scores import Scores

NO_PICTURE = "no picture"
"""What such scores are called, beside those of runs."""


def size_baseline(index: VideoIndex, train: Sequence[str], test: Sequence[str]) -> Scores:
    """Scores of `test` videos by the nearest of the `train` videos, as scores named `NO_PICTURE`.

    Near is a small Euclidean distance between (width, height, frames, frame rate), whose logarithms have
    a deviation of 1 over the training videos. The logits are ranks: 0 for the class of the nearest
    video, −1 for the next one, and so on. Of classes that are equally near, the one goes first of which
    more videos are, then the one with more videos that train.

    train, test: ids; none should be in both. KeyError for one that the index has not; ValueError where
    nothing trains.
    """
    taught, asked = index.select(train), index.select(test)
    if not taught:
        raise ValueError("a nearest neighbour needs videos that train")
    known, wanted = _features(taught), _features(asked)
    deviation = known.std(0)
    varies = deviation > 1e-9
    known, wanted = (each[:, varies] / deviation[varies] for each in (known, wanted))
    labels = np.array([item.label for item in taught])
    classes = len(index.classes)
    logits = np.empty((len(asked), classes), np.float32)
    for row, features in enumerate(wanted):
        distances = np.sqrt(((known - features) ** 2).sum(1)).round(9)
        nearest = np.full(classes, np.inf)
        np.minimum.at(nearest, labels, distances)
        as_near = np.bincount(labels[distances == nearest[labels]], minlength=classes)
        order = np.lexsort((-np.bincount(labels, minlength=classes), -as_near, nearest))
        logits[row, order] = -np.arange(classes)
    return Scores(
        name=NO_PICTURE,
        ids=tuple(item.id for item in asked),
        logits=logits,
        labels=np.array([item.label for item in asked], np.int64),
        classes=index.classes,
        trained_on=tuple(sorted(train)),
        groups=tuple(item.group for item in asked),
        ranks_only=True,
    )


def _features(items: Sequence[Item]) -> np.ndarray:
    """(N, 4); what is not known is 0."""
    rows = [(item.width, item.height, item.frames, item.frame_rate) for item in items]
    return np.log1p(np.array(rows, np.float64).reshape(-1, 4))
