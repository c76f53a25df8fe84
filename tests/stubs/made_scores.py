"""Scores of videos that were never seen."""

import numpy as np

from twostream.scoring.scores import Scores


def scores(name="spatial", n=8, k=3, seed=0):
    """Random logits of n videos and k classes."""
    rng = np.random.default_rng(seed)
    return Scores(
        name=name,
        ids=tuple(f"class {i % k}/v {i}, x" for i in range(n)),
        logits=rng.normal(0, 2, (n, k)).astype(np.float32),
        labels=np.arange(n) % k,
        classes=tuple(f"class {c}" for c in range(k)),
        trained_on=(),
    )
