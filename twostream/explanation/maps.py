"""Maps over clips: made as large as the clip, brought to 0..1, and put where the clip was cut from."""

import cv2
import numpy as np

from flowcache.types import Float32
from twostream.data.crop_and_flip import View


def enlarge(coarse: Float32, shape: tuple[int, int, int]) -> Float32:
    """A map (t, h, w) interpolated linearly to a shape (T, H, W)."""
    times, height, width = shape
    planes = [
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in coarse
    ]
    # Cells have their values in their middles, as OpenCV has it in space.
    place = (np.arange(times) + 0.5) * len(coarse) / times - 0.5
    place = place.clip(0, len(coarse) - 1)
    first = np.floor(place).astype(int)
    second = np.minimum(first + 1, len(coarse) - 1)
    share = (place - first)[:, None, None].astype(np.float32)
    stack = np.stack(planes)
    return np.asarray((1 - share) * stack[first] + share * stack[second], np.float32)


def normalise(values: Float32) -> Float32:
    """The least becomes 0 and the most 1, and what is the same everywhere 0.

    What is negative speaks against the class, and is 0 too.
    """
    values = values.clip(0)
    low, high = float(values.min()), float(values.max())
    # What differs by rounding alone says nothing.
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        return np.zeros_like(values, np.float32)
    return np.asarray((values - low) / (high - low), np.float32)


def on_picture(seen: Float32, view: View, height: int, width: int) -> Float32:
    """A map of what a network saw (T, h, w) on the picture that it was cut from: (T, height, width).

    It is 0 where the network saw nothing.
    """
    whole = np.zeros((len(seen), height, width), np.float32)
    rows = slice(view.top, view.top + view.height)
    columns = slice(view.left, view.left + view.width)
    upright = seen[..., ::-1] if view.mirrored else seen
    whole[:, rows, columns] = enlarge(upright, (len(seen), view.height, view.width))
    return whole
