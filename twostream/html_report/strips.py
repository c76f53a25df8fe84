"""A few moments of a video for a page: frames, and below each its flow in colour."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from flowcache.cache.entry import Entry
from flowcache.show.colour import flow_to_color
from flowcache.show.render import survey
from flowcache.types import UInt8

MOMENTS, WIDTH = 6, 192
"""How many moments of a video are shown, and how wide each is in pixels."""

_QUALITY = 70
"""Of WebP, at which the pictures of a page look as they do in the cache."""


@dataclass(frozen=True)
class Strip:
    """Pictures of a video as they stand in a page."""

    moments: Sequence[str]
    """Each a `data:` address."""

    times: Sequence[float]
    """When each of them is, in seconds."""

    caption: str

    def words_of(self, video: str) -> str:
        """The sentence that stands for the pictures where they are not seen."""
        times = ", ".join(f"{time:.1f}" for time in self.times)
        return f"{video} after {times} seconds. {self.caption}"


@dataclass(frozen=True)
class VideoPictures:
    """The pictures of one video."""

    strip: Strip
    """Frames, and below each its flow."""

    maps: Sequence[Strip] = ()
    """The same with what spoke for the class that each run named."""


def strip_of(entry: Entry, moments: int = MOMENTS, width: int = WIDTH) -> Strip:
    """Evenly spaced moments of a video, the middle one of each part, at this width in pixels.

    Raises DamagedEntryError for an entry that cannot be read.
    """
    fields = len(entry.flow)
    places = (np.arange(min(moments, fields)) + 0.5) * fields / min(moments, fields)
    numbers = places.astype(int).tolist()
    scale, _ = survey(entry)
    pictures = [
        above_each_other(entry.rgb[number], flow_to_color(entry.flow[number], scale), width)
        for number in numbers
    ]
    return Strip(
        [data_address(picture) for picture in pictures],
        [float(entry.times[number]) for number in numbers],
        f"Frames, and below each its flow: {scale:.3g} px per step are fully coloured.",
    )


def above_each_other(upper: UInt8, lower: UInt8, width: int) -> UInt8:
    """Two RGB pictures of one shape (H, W, 3) at a width, with a white line between them."""
    height = max(1, round(upper.shape[0] * width / upper.shape[1]))
    small = [
        cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in (upper, lower)
    ]
    line = np.full((2, width, 3), 255, np.uint8)
    return np.concatenate([small[0], line, small[1]])


def data_address(picture: UInt8) -> str:
    """RGB (H, W, 3) as WebP within an address, which a page shows without a file."""
    encoded = cv2.imencode(".webp", picture[..., ::-1], (cv2.IMWRITE_WEBP_QUALITY, _QUALITY))[1]
    return f"data:image/webp;base64,{base64.b64encode(encoded.tobytes()).decode()}"
