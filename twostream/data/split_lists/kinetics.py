"""Kinetics' CSV files (Kay et al. 2017, "The Kinetics Human Action Video Dataset")."""

import csv
from pathlib import Path

from twostream.data.index import VideoIndexError, shortened
from twostream.data.split_lists.matching import Listed, by_file_name

FINDER = by_file_name

_OF_A_NAME = ("youtube_id", "time_start", "time_end")


def is_list(text: str) -> bool:
    """Whether the first line names Kinetics' columns."""
    try:
        return {*(_rows(text).fieldnames or ())} >= {*_OF_A_NAME}
    except csv.Error:  # a line too long for CSV is no first line of Kinetics'
        return False


def read_list(path: Path, text: str) -> list[Listed]:
    """`label,youtube_id,time_start,time_end,split`; the test part of some editions has no label.

    A video's file is named as the field's downloaders name it: `<youtube_id>_<start>_<end>`, with six
    digits for the seconds.

    Raises VideoIndexError for a line without these values, and where a file has videos of several parts.
    """
    reader = _rows(text)
    listed: list[Listed] = []
    parts: set[str] = set()
    try:
        for row in reader:
            where = f"line {reader.line_num}"
            video, *seconds = ((row[name] or "").strip() for name in _OF_A_NAME)
            if not video or not all(s.isascii() and s.isdigit() and len(s) < 7 for s in seconds):
                shown = shortened(",".join(str(value) for value in row.values()))
                raise VideoIndexError(
                    f"{path}, {where}: expected a YouTube id and two whole numbers of seconds, not "
                    f"`{shown}`"
                )
            label = (row.get("label") or "").strip()
            name = "_".join([video, *(f"{int(s):06}" for s in seconds)])
            listed.append(Listed(f"{label}/{name}" if label else name, where, label=label))
            parts.add((row.get("split") or "").strip())
    except csv.Error as error:
        raise VideoIndexError(f"{path}, after line {reader.line_num}: {error}") from None
    if len(parts) > 1:
        raise VideoIndexError(
            f"{path} lists videos of {', '.join(sorted(parts))}: give a file of each part alone"
        )
    return listed


def _rows(text: str) -> "csv.DictReader[str]":
    return csv.DictReader(text.splitlines(), skipinitialspace=True)
