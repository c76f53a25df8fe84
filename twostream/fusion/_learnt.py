"""What the rules share that learn the classes anew."""

import warnings
from typing import Any

import numpy as np

from twostream.fusion._pooling import Floats
from twostream.scoring.scores import Scores, ScoresError


def fit(model: Any, features: Floats, labels: np.ndarray) -> Any:
    """Fit a classifier of scikit-learn, and return it."""
    with warnings.catch_warnings():
        # Few videos of many classes are what there is.
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
        return model.fit(features, labels)


def require_every_class(rule: str, held_out: Scores) -> None:
    """ScoresError unless each class has a video: what is not learnt could never be named."""
    counts = np.bincount(held_out.labels, minlength=len(held_out.classes))
    if missing := [held_out.classes[k] for k in np.flatnonzero(counts == 0)]:
        raise ScoresError(
            f"the rule {rule} learns every class, and of {missing[0]} no video was held back "
            f"({len(missing)} of {len(counts)} classes lack one): hold back more, or take log_linear",
            "rule",
        )
