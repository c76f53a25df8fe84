"""Clips of which a part is taken away, for methods and tests that look at what is then left."""

import numpy as np

from flowcache.types import Float32, Float64
from twostream.data.clip_reader import Clip
from twostream.prediction.networks import Network


def keep_only(clip: Clip, kept: Float32) -> Clip:
    """A clip of which other parts are kept in each of N copies.

    clip: of one view, (1, T, C, H, W). kept: (N, T, H, W), 1 where the values stay, 0 where they become
    the mean of their plane: the mean colour of the frame, the mean displacement of the field, which tell
    nothing of a place. Between them in proportion.
    """
    values = clip.values.astype(np.float32)
    blank = values.mean((3, 4), keepdims=True)
    mixed = np.rint(blank + kept[:, :, None] * (values - blank)).astype(clip.values.dtype)
    return Clip(mixed, *(np.repeat(part, len(kept), 0) for part in clip[1:]))


def log_probability(network: Network, clip: Clip, label: int) -> Float64:
    """The logarithm of a class's probability in each of N clips: (N,)."""
    logits = network.logits(clip).astype(np.float64)
    return np.asarray(logits[:, label] - np.logaddexp.reduce(logits, 1))
