"""Colours of a clip, changed in one way for all of its frames."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from twostream.data.streams import Integers

# ITU-R BT.601: how bright each of red, green and blue looks.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Brightness, contrast and saturation, as factors (Howard 2013, section 2.2)."""

    brightness: float
    """Of all values."""

    contrast: float
    """Of the distance of each value from the clip's mean gray."""

    saturation: float
    """Of the distance of each colour from its gray."""

    @classmethod
    def drawn(cls, most: float, rng: np.random.Generator) -> Self:
        """Factors between 1 − most and 1 + most."""
        brightness, contrast, saturation = rng.uniform(1 - most, 1 + most, 3)
        return cls(brightness=brightness, contrast=contrast, saturation=saturation)

    def __call__(self, clip: Integers) -> Integers:
        """uint8 (T, 3, H, W), RGB, of the same shape; what leaves 0 to 255 is limited to it."""
        values = clip.astype(np.float32) * np.float32(self.brightness)
        gray = np.tensordot(_LUMA, values, axes=(0, 1))[:, None]
        values = gray + np.float32(self.saturation) * (values - gray)
        mean = gray.mean()
        values = mean + np.float32(self.contrast) * (values - mean)
        changed: Integers = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return changed
