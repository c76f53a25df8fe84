"""A white picture on which pictures and lines of text are put."""

import math

import cv2
import numpy as np

from flowcache.types import UInt8
from twostream.report.lettering import font, shortened

INK = (25, 25, 25)
FAINT = (105, 105, 105)


class Canvas:
    """White at first; what is put on it later covers what is there."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image

        self._image = Image.new("RGB", (width, height), "white")

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self._image.width)

    @property
    def picture(self) -> UInt8:
        """What it shows, uint8 (H, W, 3), RGB."""
        return np.array(self._image)

    def put(self, picture: UInt8, x: int, y: int) -> None:
        """A picture (h, w, 3), its upper left corner at (x, y)."""
        from PIL import Image

        self._image.paste(Image.fromarray(np.ascontiguousarray(picture)), (x, y))

    def write(
        self,
        text: str,
        x: int,
        y: int,
        size: int,
        colour: tuple[int, int, int] = INK,
        room: int | None = None,
    ) -> None:
        """A line of text in letters of `size` pixels, its upper left corner at (x, y).

        What is wider than `room`, by default all that is left to the right, ends in an ellipsis.
        """
        from PIL import ImageDraw

        letters = font(size)
        line = shortened(text, letters, self._image.width - x if room is None else room)
        ImageDraw.Draw(self._image).text((x, y), line, fill=colour, font=letters)


def width_of(text: str, size: int) -> int:
    """How many pixels a line takes."""
    return math.ceil(font(size).getlength(text))


def resized(picture: UInt8, width: int, height: int) -> UInt8:
    """A picture at another size; where it shrinks, each pixel is the mean of those that it covers."""
    method = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)
