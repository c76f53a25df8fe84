"""Explanations of one video as a video: from frame to frame the map over what each stream looked at."""

from collections.abc import Iterator, Sequence

import numpy as np

from flowcache.cache.entry import Entry
from flowcache.types import Float32, UInt8
from twostream.data.clip_reader import read_whole
from twostream.explanation.canvas import Canvas, resized
from twostream.explanation.explain import Explanation
from twostream.explanation.heat import heat_over
from twostream.explanation.seen import pictures

_HEIGHT = 240  # of each picture, pixels
_GAP = 8


def draw_overlay(
    entries: Sequence[Entry], explanations: Sequence[Explanation], title: str = ""
) -> Iterator[UInt8]:
    """Pictures, uint8 (H, W, 3) with even sides: the frame, and beside it each stream with its map.

    entries: what each explanation is of. Between the frames that were looked at, the map goes over from
    that of the last to that of the next.
    """
    h, w = explanations[0].map.shape[1:]
    width = round(_HEIGHT * w / h)
    size = _HEIGHT // 15
    pitch = max(width, 10 * size) + _GAP  # pictures that are narrow leave room for the words
    whole = (1 + len(explanations)) * pitch - _GAP
    first, times = entries[0], entries[0].times
    for number in range(min(len(entry.flow) for entry in entries)):
        canvas = Canvas(whole + whole % 2, _HEIGHT + 2 * size + (_HEIGHT + 2 * size) % 2)
        room = pitch - _GAP
        canvas.write(f"{times[number]:.1f} s  {title}", 0, size // 3, size, room=room - size)
        canvas.put(resized(first.rgb[number], width, _HEIGHT), 0, 2 * size)
        for column, (entry, one) in enumerate(zip(entries, explanations, strict=True), 1):
            x = column * pitch
            values, means = read_whole(entry, [number], one.spec.values, one.spec.clip)
            (picture,) = pictures(values, means, one.spec, one.scale)
            mixed = heat_over(picture, _map_at(one, times[number]), one)
            label = f"{one.stream}: {one.label}, {100 * one.probability:.0f} %"
            canvas.write(label, x, size // 3, size, room=room)
            canvas.put(resized(mixed, width, _HEIGHT), x, 2 * size)
        yield canvas.picture


def _map_at(one: Explanation, time: float) -> Float32:
    """Interpolated linearly between the moments that have one, (H, W)."""
    after = int(np.searchsorted(one.times, time).clip(0, len(one.times) - 1))
    before = max(0, after - 1)
    between = one.times[after] - one.times[before]
    share = np.clip((time - one.times[before]) / between, 0, 1) if between else 1.0
    return np.asarray((1 - share) * one.map[before] + share * one.map[after], np.float32)
