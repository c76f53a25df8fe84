"""Explanations of one video as a strip: a few moments, and below each what spoke for the class."""

from collections.abc import Sequence

import numpy as np

from flowcache.types import UInt8
from twostream.explanation.canvas import FAINT, Canvas, resized, width_of
from twostream.explanation.explain import Explanation
from twostream.explanation.heat import colours, heat_over

MOMENTS = 5
_GAP = 4  # between pictures, pixels


def draw_strip(explanations: Sequence[Explanation], title: str = "", *, height: int = 180) -> UInt8:
    """The strip, uint8 (H, W, 3).

    explanations: of one video, one for each stream. Each has a row of what the stream looked at, frames
    or flow in colours, and below it a row with the map over it, paler where the network saw nothing. Of
    each fifth of the time the frame is shown for which most speaks. height: of each picture, pixels; text
    grows with it.
    """
    size = max(12, height // 10)
    h, w = explanations[0].map.shape[1:]
    width = max(1, round(height * w / h))
    head, pictures = 2 * size, 2 * height + _GAP
    block = head + pictures + 2 * size
    top = head if title else 0
    pitch = max(width, 6 * size) + _GAP  # pictures that are narrow leave room for the words
    canvas = Canvas(MOMENTS * pitch - _GAP, top + len(explanations) * block)
    if title:
        canvas.write(title, 0, size // 2, size)
    for row, one in enumerate(explanations):
        y = top + row * block
        _head(canvas, one, y, size)
        decimals = 1 if np.ptp(one.times) >= 0.1 * MOMENTS else 2
        for column, number in enumerate(telling(one)):
            x = column * pitch
            above = resized(one.frames[number], width, height)
            below = resized(heat_over(one.frames[number], one.map[number], one), width, height)
            canvas.put(above, x, y + head)
            canvas.put(below, x, y + head + height + _GAP)
            time = f"{one.times[number]:.{decimals}f} s"
            canvas.write(time, x, y + head + pictures + 2, round(0.8 * size), FAINT)
    return canvas.picture


def telling(one: Explanation, moments: int = MOMENTS) -> list[int]:
    """Of each part of the time the frame for which most speaks; of equal ones that which moves most."""
    first, last = one.times[[0, -1]]
    parts = np.floor((one.times - first) / max(last - first, 1e-9) * moments).clip(0, moments - 1)
    speaks = one.map.mean((1, 2)).round(4)
    moves = 255 - one.frames.min(3).mean((1, 2)) if one.spec.values.is_displacement else 0 * speaks
    order = np.lexsort((moves, speaks))  # the last of a part is the one that is shown
    middles = first + (np.arange(moments) + 0.5) * (last - first) / moments
    chosen = []
    for part, middle in enumerate(middles):
        inside = order[parts[order] == part]
        # A part in which nothing was looked at shows what is nearest.
        chosen.append(int(inside[-1] if len(inside) else np.abs(one.times - middle).argmin()))
    return chosen


def _head(canvas: Canvas, one: Explanation, y: int, size: int) -> None:
    """Stream, class and probability to the left, the method and what its colours mean to the right."""
    small = round(0.8 * size)
    words = f"{one.method}   little", "much"
    bar = colours(np.tile(np.linspace(0, 1, 5 * size, dtype=np.float32), (small, 1)))
    right = canvas.width - width_of(words[1], small)
    left = right - bar.shape[1] - size
    start = left - width_of(words[0], small) - size // 2
    label = f"{one.stream}: {one.label}, {100 * one.probability:.0f} %"
    canvas.write(label, 0, y + size // 2, size, room=max(start - size, canvas.width // 3))
    canvas.write(words[0], start, y + size // 2 + 2, small, FAINT)
    canvas.put(bar, left, y + size // 2 + 3)
    canvas.write(words[1], right, y + size // 2 + 2, small, FAINT)
