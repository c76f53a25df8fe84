"""Something-Something V2's JSON files (Goyal et al. 2017, "The 'Something Something' Video Database")."""

import json
import re
from pathlib import Path
from typing import Any

from twostream.data.index import VideoIndexError, shortened
from twostream.data.split_lists.matching import Listed, by_file_name, first_repeated

FINDER = by_file_name


def is_list(text: str) -> bool:
    """Whether a text begins as a JSON list of objects, or an empty one."""
    return re.match(r"\s*\[\s*[{\]]", text) is not None


def is_class_list(text: str) -> bool:
    """Whether a text begins as a JSON object."""
    return text.lstrip().startswith("{")


def read_list(path: Path, text: str) -> list[Listed]:
    """`something-something-v2-train.json`: objects with `id` and, but for the test part, `template`.

    A video's file is named by its id. Its class is the template without brackets: `Holding [something]
    next to [something]` is the class `Holding something next to something`.

    Raises VideoIndexError for what is no such list.
    """
    listed = []
    for number, entry in enumerate(_parsed(path, text), 1):
        where = f"entry {number}"
        values = entry if isinstance(entry, dict) else {}
        named, template = values.get("id"), values.get("template", "")
        identifier = "" if named is None else str(named)
        if not identifier or not isinstance(template, str):
            raise VideoIndexError(
                f"{path}, {where}: expected an object with the texts `id` and `template`, not "
                f"`{shortened(json.dumps(entry))}`"
            )
        label = _without_brackets(template)
        listed.append(Listed(f"{label}/{identifier}" if label else identifier, where, label=label))
    return listed


def read_class_list(path: Path, text: str) -> list[str]:
    """`something-something-v2-labels.json`: the number of each class, from 0 on, by its name.

    Raises VideoIndexError for what is no such object.
    """
    numbers = _parsed(path, text)
    of_number = {str(number): name for name, number in numbers.items()}
    for number in range(len(numbers)):
        if str(number) not in of_number:
            raise VideoIndexError(
                f"{path} has no class of number {number}: number the {len(numbers)} classes from 0 on"
            )
    names = [_without_brackets(of_number[str(number)]) for number in range(len(numbers))]
    if twice := first_repeated(names):
        raise VideoIndexError(f"{path} names the class {shortened(twice)} twice")
    return names


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise VideoIndexError(f"{path} cannot be read as JSON: {error}") from None


def _without_brackets(template: str) -> str:
    return template.replace("[", "").replace("]", "").strip()
