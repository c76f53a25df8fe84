"""Frames beside their flow, in a table with words at its sides."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from flowcache.errors import UserError
from flowcache.show.colour import legend
from flowcache.types import Float32, FlowAlgorithm, UInt8
from flowcache.video.decode import Video
from flowcache.video.resize import Resize

_LEFT, _GAP, _HEADS, _LEGEND = 120, 12, 38, 56


def frame_and_flow(path: Path, algorithm: FlowAlgorithm) -> tuple[UInt8, Float32]:
    """The frame before the middle of a video (H, W, 3), and the field (2, H, W) to the next.

    UserError where the video cannot be read.
    """
    with Video(path) as video:
        rgb = np.concatenate([batch.rgb for batch in video.frames(Resize())])
    middle = len(rgb) // 2
    pair = rgb[[middle - 1, middle]]
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair])
    return pair[0], algorithm(gray).data[0]


def video_of(folder: Path, number: int = 0) -> Path:
    """A video of a class by its place in the order of names. UserError where there are fewer."""
    paths = sorted(folder.glob("*.avi"))
    if number >= len(paths):
        raise UserError(
            f"{folder} holds {len(paths) or 'no'} video{'s'[: len(paths) > 1]}, and the contact sheet "
            f"needs {number + 1}: render the demo's videos first"
        )
    return paths[number]


def table(
    cells: Sequence[Sequence[UInt8]], rows: Sequence[str], columns: Sequence[str], scale: float
) -> UInt8:
    """Cells (h, w, 3) of one size, the rows' words beside them and the columns' above, on white.

    columns: empty for a table without heads. scale: of the legend in the lower left corner, pixels.
    Returns uint8 (H, W, 3).
    """
    height, width = cells[0][0].shape[:2]
    top = _HEADS if columns else _GAP
    size = (top + len(cells) * (height + _GAP), _LEFT + len(cells[0]) * (width + _GAP), 3)
    sheet = np.full(size, 255, np.uint8)
    for row, word in enumerate(rows):
        y = top + row * (height + _GAP)
        _write(sheet, word, (_GAP, y + height // 2))
        for column, cell in enumerate(cells[row]):
            x = _LEFT + column * (width + _GAP)
            sheet[y : y + height, x : x + width] = cell
    for column, word in enumerate(columns):
        _write(sheet, word, (_LEFT + column * (width + _GAP), top - _GAP))
    key = legend(scale, _LEGEND)[:, :_LEFT]
    sheet[-_LEGEND - _GAP : -_GAP, : key.shape[1]] = key
    return sheet


def _write(sheet: UInt8, text: str, place: tuple[int, int]) -> None:
    """Text with its lower left corner at (x, y)."""
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (40, 40, 40), 2, cv2.LINE_AA)
