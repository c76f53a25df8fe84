"""What the structure of a container tells of its file, without decoding."""

from dataclasses import dataclass
from mmap import mmap


@dataclass(frozen=True)
class Structure:
    """What the structure of a container tells of its file."""

    announced: bool = False
    """The end is announced or marked, so a file that ends early would show."""

    damage: str = ""
    """What is wrong, empty where nothing is known to be."""

    position: int = 0
    """Where the damage begins, in bytes; what lies before it can be trusted."""


def ends_early(content: mmap, announced: int) -> Structure:
    """The structure of a file that ends before its announced end."""
    missing = announced - len(content)
    damage = f"the file ends early, {missing} bytes short of what it announces"
    return Structure(True, damage, len(content))


def broken(what: str, position: int) -> Structure:
    """The structure of a file in which something else stands where `what` should."""
    return Structure(False, f"at byte {position} of the file there is no {what}", position)


def number(content: mmap, position: int, size: int, order: str = "big") -> int:
    """The unsigned integer of `size` bytes at a position."""
    return int.from_bytes(content[position : position + size], order)  # type: ignore[arg-type]
