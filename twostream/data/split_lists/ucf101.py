"""UCF101's `trainlist01.txt`, `testlist01.txt` and `classInd.txt` (Soomro et al. 2012, "UCF101")."""

from pathlib import Path

from twostream.data.index import VideoIndexError, shortened
from twostream.data.split_lists.file_text import numbered_lines
from twostream.data.split_lists.matching import Listed, by_path, first_repeated

FINDER = by_path


def is_list(_: str) -> bool:
    """Any text can be such a list."""
    return True


def read_list(path: Path, text: str) -> list[Listed]:
    """A line a video: `Class/video.avi`, or with the number of its class, `Class/video.avi 1`."""
    listed = []
    for number, line in numbered_lines(text):
        # A name may hold spaces: only a number after the last one is a label.
        name, _, last = line.rpartition(" ")
        if name and last.isascii() and last.isdigit() and len(last) < 10:
            listed.append(Listed(name, f"line {number}", int(last)))
        else:
            listed.append(Listed(line, f"line {number}"))
    return listed


def read_class_list(path: Path, text: str) -> list[str]:
    """Lines such as `1 ApplyEyeMakeup`, numbered from 1.

    Raises VideoIndexError for a line of another form, and for a class that is named twice.
    """
    names: list[str] = []
    for line, content in numbered_lines(text):
        number, *words = content.split()
        if number != str(len(names) + 1) or len(words) != 1:
            raise VideoIndexError(
                f"{path}, line {line}: expected `{len(names) + 1} ClassName`, not `{shortened(content)}`"
            )
        names += words
    if twice := first_repeated(names):
        raise VideoIndexError(f"{path} names the class {shortened(twice)} twice")
    return names
