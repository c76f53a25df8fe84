"""Images for operations on batches, which have to hold for any size and for what is not smooth."""

import numpy as np
import pytest

every_shape = pytest.mark.parametrize(
    "shape", [(1, 1), (1, 37), (29, 1), (3, 3), (31, 50)], ids=str
)


def noise(*shape, seed=0):
    """Gray levels with nothing smooth about them, float32."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def of_each(function, images):
    """What a function of one image gives for each."""
    return np.stack([function(image) for image in images])
