"""A map over a picture."""

import cv2
import numpy as np

from flowcache.types import Float32, UInt8
from twostream.explanation.explain import Explanation

_STRONGEST = 0.8
"""How much of a picture the colour of a map hides where the map is 1; where it is 0 it hides nothing."""


def colours(map: Float32) -> UInt8:
    """Values in 0..1, (H, W), as RGB (H, W, 3): from black over red to pale yellow, evenly to the eye.

    It is the colour map "inferno" of Smith & van der Walt (2015), which is in order in gray too, and for
    those who confuse red and green.
    """
    levels = np.rint(map.clip(0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)


def heat(gray: UInt8, map: Float32) -> UInt8:
    """A map (H, W) in 0..1 over a gray picture (H, W): RGB (H, W, 3)."""
    share = (_STRONGEST * map.clip(0, 1) ** 0.75)[..., None]
    mixed = (1 - share) * gray[..., None] + share * colours(map)
    return np.asarray(np.rint(mixed), np.uint8)


def heat_over(picture: UInt8, map: Float32, one: Explanation) -> UInt8:
    """A map (H, W) over what a stream looked at (H, W, 3), and paler what the network did not see.

    The picture is gray, so that its colours are not taken for the map's; flow is the darker the longer.
    """
    seen = one.seen
    if one.spec.values.is_displacement:
        gray = (
            picture.min(2) // 2 + 127
        )  # of a length in the colours of flow, one of the three tells it
    else:
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    mixed = heat(np.asarray(gray, np.uint8), map)
    pale = np.asarray(mixed // 2 + 127, np.uint8)
    inside = np.s_[seen.top : seen.top + seen.height, seen.left : seen.left + seen.width]
    pale[inside] = mixed[inside]
    return pale
