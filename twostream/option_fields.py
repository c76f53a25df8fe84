"""Options are declared once: as a field of a frozen dataclass, with its help and its limits.

From the same declaration come the option of the command line, the key in a file of `--config`, the record
in `run.json`, and the keyword of the Python API. An option's name is the field's name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from math import isfinite
from numbers import Real
from typing import Any, Literal, TypeVar, get_args, get_origin

from flowcache.errors import UserError

T = TypeVar("T")


def option(
    default: Any = MISSING,
    *,
    help: str,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    shown_default: str = "",
    usual: Any = None,
    path: Literal["", "file", "folder"] = "",
    metavar: str = "",
) -> Any:
    """A field of a frozen dataclass that a user can set.

    help: one sentence, as `--help` shows it. at_least, above, at_most, below: limits of a number.
    shown_default: what happens by default, in words, where the default is None. usual: makes the option
    one that is left to the model where it is not given, and is None then; this is the value where the
    model says nothing either. path: that the value is the path of an existing file or folder. metavar:
    what stands for the value in `--help`.
    """
    if usual is not None:
        shown = usual if isinstance(usual, str) else f"{usual:g}"
        default, shown_default = None, f"the model's, or else {shown}"
    metadata = {
        "help": help,
        "limits": {"at least": at_least, "above": above, "at most": at_most, "below": below},
        "shown_default": shown_default,
        "usual": usual,
        "path": path,
        "metavar": metavar,
    }
    return field(default=default, metadata=metadata)


def declared(kind: Any) -> Iterator[Field[Any]]:
    """The options of a dataclass and of the dataclasses among its fields, in their order."""
    return (each for each in _leaves(kind) if each.metadata)


def _leaves(kind: Any) -> Iterator[Field[Any]]:
    """Every field but those that hold a dataclass, of which the fields are taken."""
    for each in fields(kind):
        if is_dataclass(each.type):
            yield from _leaves(each.type)
        else:
            yield each


def value_type(each: Field[Any]) -> Any:
    """The type of an option's value: without the None of an option that need not be given."""
    kinds = [kind for kind in get_args(each.type) if kind is not type(None)]
    optional = len(kinds) < len(get_args(each.type))
    return kinds[0] if optional else each.type


def choices(each: Field[Any]) -> tuple[Any, ...]:
    """The values that an option may have, where they are a few; else empty."""
    kind = value_type(each)
    return get_args(kind) if get_origin(kind) is Literal else ()


def from_flat(kind: type[T], given: Mapping[str, Any]) -> T:
    """Options from their names and values, as keywords give them; what is not given has its default.

    A list stands for a tuple, since files have no other.
    Raises UserError for a name that is no option of this kind, and for a value outside of its limits.
    """
    known = [each.name for each in _leaves(kind)]
    if unknown := [name for name in given if name not in known]:
        raise UserError(f"there is no option {unknown[0]!r}: choose from {', '.join(known)}")
    built: T = _build(kind, given)
    return built


def _build(kind: Any, given: Mapping[str, Any]) -> Any:
    values = {}
    for each in fields(kind):
        if is_dataclass(each.type):
            values[each.name] = _build(each.type, given)
        elif each.name in given:
            value = given[each.name]
            values[each.name] = tuple(value) if isinstance(value, list) else value
        elif each.default is MISSING and each.default_factory is MISSING:
            raise UserError(f"{each.name} is missing: name it", each.name)
    return kind(**values)


def to_flat(options: Any) -> dict[str, Any]:
    """Options by their names: undoes `from_flat`."""
    flat: dict[str, Any] = {}
    for each in fields(options):
        value = getattr(options, each.name)
        flat |= to_flat(value) if is_dataclass(value) else {each.name: value}
    return flat


def check(options: Any) -> None:
    """UserError for a value of another type, or outside of the limits, than its field declares.

    None stands for what is not given, and is right for each.
    """
    for each in fields(options):
        value = getattr(options, each.name)
        if each.metadata and value is not None and (objection := _objection(each, value)):
            words = each.name.replace("_", " ")
            raise UserError(f"the {words} {value!r} {objection}", each.name)


def _objection(each: Field[Any], value: Any) -> str:
    """What is wrong with a value, empty where it is as declared."""
    if known := choices(each):
        return "" if value in known else f"is none of {', '.join(map(str, known))}"
    kind, numbers = value_type(each), (value,)
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple) or not all(_is_a(float, number) for number in value):
            return "must be a list of numbers"
        numbers = value
    elif not _is_a(kind, value):
        return f"must be {_WORDS.get(kind, 'text')}"
    limits = {word: limit for word, limit in each.metadata["limits"].items() if limit is not None}
    if all(_within(number, limits) for number in numbers):
        infinite = any(isinstance(number, float) and not isfinite(number) for number in numbers)
        return "must be finite" if infinite else ""
    return "must be " + " and ".join(f"{word} {limit:g}" for word, limit in limits.items())


_WORDS: Mapping[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}


def _is_a(kind: Any, value: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        return hasattr(value, "__index__")
    return isinstance(value, Real) if kind is float else isinstance(value, str | int)


def _within(number: Any, limits: Mapping[str, float]) -> bool:
    tests = {
        "at least": lambda limit: number >= limit,
        "above": lambda limit: number > limit,
        "at most": lambda limit: number <= limit,
        "below": lambda limit: number < limit,
    }
    return all(tests[word](limit) for word, limit in limits.items())
