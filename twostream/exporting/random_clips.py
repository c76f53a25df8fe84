"""Clips that nobody filmed, to compare two forms of a network on."""

import numpy as np

from twostream.data.clip_reader import Clip
from twostream.runs.spec import Spec


def random_clip(spec: Spec, count: int, rng: np.random.Generator) -> Clip:
    """So many clips of the size and the type that a network was trained on.

    Each has a level and a contrast of its own: a network that averages over places sees the same in any
    two clips of noise, and then two that were exchanged would not be noticed. The mean and the gain are
    drawn as well, whatever they would be in the network's stream.
    """
    side, channels = spec.clip.crop, spec.values.channels
    low, high = spec.values.limits(spec.recipe)
    level = rng.uniform(low, high, (count, 1, channels, 1, 1))
    contrast = rng.uniform(0, (high - low) / 2, (count, 1, 1, 1, 1))
    noise = rng.random((count, spec.clip.length, channels, side, side), np.float32)
    values = np.clip(level + contrast * (2 * noise - 1), low, high).round()
    mean = rng.normal(size=(count, spec.clip.length, channels))
    gain = rng.uniform(-2, 2, (count, channels))
    return Clip(
        values.astype(spec.values.integers(spec.recipe)),
        mean.astype(np.float32),
        gain.astype(np.float32),
    )
