"""Readers of the split files that public data sets come with."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from twostream.data.index import VideoIndex, VideoIndexError, shortened, video_id

Say = Callable[[str], None]


def read_class_list(path: Path) -> list[str]:
    """UCF101's `classInd.txt`: lines `1 ApplyEyeMakeup`, numbered from 1 → names in order."""
    rows = [line.split() for line in _lines(path)]
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or row[0] != str(number):
            raise VideoIndexError(f"{path}, line {number}: expected `{number} ClassName`")
    names = [row[1] for row in rows]
    if twice := _first_repeated(names):
        raise VideoIndexError(f"{path} names the class {shortened(twice)} twice")
    return names


def read_list(
    path: Path, index: VideoIndex, skip_missing: bool = False, say: Say = lambda _: None
) -> list[str]:
    """UCF101's `trainlist01.txt` and `testlist01.txt`: `Class/video.avi`, or with its number → ids.

    Raises VideoIndexError for a video that the index lacks (unless `skip_missing`), one named twice,
    and a number that is not the class's, counted from 1. `say` is told what is left out.
    """
    names, numbers = [], []
    for line in _lines(path):
        # A name may hold spaces: only a number after the last one is a label.
        name, _, last = line.rpartition(" ")
        is_number = name and last.isascii() and last.isdigit() and len(last) < 10
        numbers.append(int(last) if is_number else None)
        names.append(name if numbers[-1] is not None else line)
    ids = match_ids(names, index, str(path), skip_missing, say)
    for item, number in zip(
        index.select([i for i in ids if i]),
        [n for i, n in zip(ids, numbers, strict=True) if i],
        strict=True,
    ):
        if number is not None and number != item.label + 1:
            raise VideoIndexError(
                f"{path} gives {item.id} class {number}, and here it is class {item.label + 1} "
                f"({index.classes[item.label]}): give the list's own classInd.txt",
                "class_list",
            )
    return [i for i in ids if i]


def read_hmdb51(
    folder: Path,
    split: int,
    index: VideoIndex,
    skip_missing: bool = False,
    say: Say = lambda _: None,
) -> tuple[list[str], list[str]]:
    """HMDB51's `<class>_test_split<N>.txt`: `name.avi 1` trains, 2 tests, 0 is unused → two id lists.

    Raises VideoIndexError as `read_list`, and for a line without one of these numbers.
    """
    names: dict[str, list[str]] = {"0": [], "1": [], "2": []}
    ending = f"_test_split{split}.txt"
    files = sorted(folder.glob(f"*{ending}"))
    if not files:
        raise VideoIndexError(f"{folder} holds no file that ends in {ending}", "hmdb51")
    for path in files:
        for line in _lines(path):
            name, part = line.rsplit(None, 1) if len(line.split()) > 1 else ("", "")
            if part not in names:
                raise VideoIndexError(
                    f"{path}: expected a name and 0, 1 or 2, not `{shortened(line)}`", "hmdb51"
                )
            names[part].append(f"{path.name.removesuffix(ending)}/{name}")
    train, test = (
        [i for i in match_ids(names[part], index, str(folder), skip_missing, say) if i]
        for part in ("1", "2")
    )
    return train, test


def match_ids(
    names: Sequence[str],
    index: VideoIndex,
    where: str,
    skip_missing: bool,
    say: Say = lambda _: None,
) -> list[str | None]:
    """Names as lists write them → ids; None for a missing one that may be skipped.

    UCF101 writes HandStandPushups and HandstandPushups for the same class, so a name that differs in
    case alone is found too.
    """
    exact = {item.id for item in index.items}
    folded = {item.id.casefold(): item.id for item in index.items}
    found = [i if (i := video_id(name)) in exact else folded.get(i.casefold()) for name in names]
    missing = [name for name, i in zip(names, found, strict=True) if i is None]
    if missing:
        lacking = (
            f"{where}: {len(missing)} of its {len(names)} videos are not in the cache, the first is "
            f"{shortened(missing[0])}"
        )
        if not skip_missing:
            raise VideoIndexError(f"{lacking}: extract them, or leave them out", "skip_missing")
        say(f"{lacking}: they are left out")
    if twice := _first_repeated(i for i in found if i):
        raise VideoIndexError(f"{where} names {shortened(twice)} twice")
    return found


def _first_repeated(values: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _lines(path: Path) -> list[str]:
    try:
        # Some editors put a mark in front of the first line, which "-sig" takes away.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VideoIndexError(f"{path} cannot be read as UTF-8 text: {error}") from None
    return [line.strip() for line in lines if line.strip()]
