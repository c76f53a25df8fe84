"""Lines of text in pictures."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont


@cache
def font(size: int, bold: bool = False) -> "FreeTypeFont":
    """DejaVu Sans in letters of so many pixels.

    It comes with matplotlib, so it is the same everywhere, and has Latin, Greek and Cyrillic letters.
    """
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}", size)


def shortened(text: str, letters: "FreeTypeFont", room: float) -> str:
    """The text, or as much of it as has room in so many pixels, with an ellipsis behind it.

    Where not even a letter has room, it is the ellipsis alone.
    """
    if letters.getlength(text) <= room:
        return text
    while text and letters.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text}…"
