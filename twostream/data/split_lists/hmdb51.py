"""HMDB51's folder of split files (Kuehne et al. 2011, "HMDB")."""

from collections.abc import Callable
from pathlib import Path

from twostream.data.index import VideoIndex, VideoIndexError, shortened
from twostream.data.split_lists.file_text import numbered_lines, read_text
from twostream.data.split_lists.matching import Listed, by_path, ids_of


def read_hmdb51(
    folder: Path,
    split: int,
    index: VideoIndex,
    skip_missing: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[str], list[str]]:
    """`<class>_test_split<N>.txt`: `name.avi 1` trains, 2 tests, 0 is unused → two lists of ids.

    Raises VideoIndexError as `read_list`, and for a line without one of these numbers.
    """
    listed: dict[str, list[Listed]] = {"0": [], "1": [], "2": []}
    ending = f"_test_split{split}.txt"
    files = sorted(folder.glob(f"*{ending}"))
    if not files:
        raise VideoIndexError(f"{folder} holds no file that ends in {ending}", "hmdb51")
    for path in files:
        for number, line in numbered_lines(read_text(path)):
            name, part = line.rsplit(None, 1) if len(line.split()) > 1 else ("", "")
            if part not in listed:
                raise VideoIndexError(
                    f"{path}, line {number}: expected a name and 0, 1 or 2, not `{shortened(line)}`",
                    "hmdb51",
                )
            label = path.name.removesuffix(ending)
            listed[part].append(Listed(f"{label}/{name}", f"{path.name}, line {number}"))
    train, test = (
        ids_of(listed[part], index, folder, by_path, skip_missing, say) for part in ("1", "2")
    )
    return train, test
