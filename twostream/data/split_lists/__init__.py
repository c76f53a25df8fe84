"""Readers of the lists that public data sets come with; the content of a file says which form it has."""

from collections.abc import Callable
from pathlib import Path

from twostream.data.index import VideoIndex
from twostream.data.split_lists import kinetics, something_something, ucf101
from twostream.data.split_lists.file_text import read_text
from twostream.data.split_lists.hmdb51 import read_hmdb51
from twostream.data.split_lists.matching import ids_of

__all__ = ["read_class_list", "read_hmdb51", "read_list"]


def read_class_list(path: Path) -> list[str]:
    """The classes in their order, from UCF101's `classInd.txt` or Something-Something's `labels.json`.

    Raises VideoIndexError for a file of another form, and for a class that is named twice.
    """
    text = read_text(path)
    if something_something.is_class_list(text):
        return something_something.read_class_list(path, text)
    return ucf101.read_class_list(path, text)


def read_list(
    path: Path,
    index: VideoIndex,
    skip_missing: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """The ids of the videos in a list: UCF101's text, Kinetics' CSV or Something-Something's JSON.

    Raises VideoIndexError for a video that the index lacks (unless `skip_missing`), one named twice, one
    whose class is not that of its folder, and a file of another form. `say` is told what is left out.
    """
    text = read_text(path)
    form = next(one for one in (something_something, kinetics, ucf101) if one.is_list(text))
    return ids_of(form.read_list(path, text), index, path, form.FINDER, skip_missing, say)
