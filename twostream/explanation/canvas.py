"""A white picture on which pictures and lines of text are put."""

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flowcache.types import UInt8

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

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

        font = _font(size)
        room = self._image.width - x if room is None else room
        if font.getlength(text) > room:
            while text and font.getlength(text + "…") > room:
                text = text[:-1]
            text += "…"
        ImageDraw.Draw(self._image).text((x, y), text, fill=colour, font=font)


def width_of(text: str, size: int) -> int:
    """How many pixels a line takes."""
    return math.ceil(_font(size).getlength(text))


@cache
def _font(size: int) -> "FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    # Matplotlib brings the font, so it is the same everywhere, and it has letters of many alphabets.
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def resized(picture: UInt8, width: int, height: int) -> UInt8:
    """A picture at another size; where it shrinks, each pixel is the mean of those that it covers."""
    method = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)
