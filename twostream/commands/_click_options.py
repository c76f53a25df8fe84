"""Options of the command line, made from the fields in which they are declared."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field
from math import isfinite
from pathlib import Path
from typing import Any, get_origin

import click

from flowcache.errors import UserError
from twostream.option_fields import choices, declared, value_type

Decorator = Callable[[Any], Any]

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
RUN = click.Path(path_type=Path)
"""A run's folder, or a network that was exported from one."""


class _Positive(click.FloatRange):
    """A number above 0, and neither `nan` nor `inf`."""

    def __init__(self) -> None:
        super().__init__(0, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """`0.5` → 0.5."""
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{value} is no number that is above 0 and finite", param, ctx)
        return number


POSITIVE = _Positive()


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which the help lists them."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def given_by_user(ctx: click.Context, names: Sequence[str]) -> list[str]:
    """Which of these options the user gave, on the command line or in a file."""
    sources = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.DEFAULT_MAP)
    return [name for name in names if ctx.get_parameter_source(name) in sources]


def refuse_given(ctx: click.Context, names: Sequence[str], why: str) -> None:
    """UserError for the first of these options that the user gave."""
    for name in given_by_user(ctx, names):
        raise UserError(why, name)


def options_of(kind: Any, *names: str) -> Decorator:
    """An option for each field that a dataclass, or a dataclass among its fields, declares.

    names: only these.
    """
    chosen = (each for each in declared(kind) if not names or each.name in names)
    return together(*(_option(each) for each in chosen))


def _option(each: Field[Any]) -> Decorator:
    name, metadata = each.name.replace("_", "-"), each.metadata
    required = each.default is MISSING
    default = None if required else each.default
    shown: str | bool = metadata["shown_default"] or default not in (None, ())
    words: dict[str, Any] = {"help": metadata["help"], "show_default": shown}
    if not required:  # to click even None would be a default, with which nothing is missing
        words["default"] = default
    if value_type(each) is bool:
        negated = f"/--no-{name}" if default else ""
        return click.option(f"--{name}{negated}", each.name, is_flag=True, **words)
    if metadata["metavar"]:
        words["metavar"] = metadata["metavar"]
    return click.option(f"--{name}", each.name, type=_click_type(each), required=required, **words)


def _click_type(each: Field[Any]) -> Any:
    kind, path = value_type(each), each.metadata["path"]
    if choices(each):
        return _OneOf(choices(each))
    if path:
        return FILE if path == "file" else FOLDER
    if get_origin(kind) is tuple:
        return Numbers()
    return kind if kind in (int, float) else str


class _OneOf(click.Choice[str]):
    """One of a few values, of the type that they are declared with."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        super().__init__([str(value) for value in values])
        self._values = {str(value): value for value in values}

    def convert(self, value: Any, *rest: Any) -> Any:
        """The value as it is declared."""
        return self._values[super().convert(str(value), *rest)]


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, *_: Any) -> tuple[float, ...]:
        """`1,0.5` → (1.0, 0.5)."""
        try:  # a default, or a value of a file, is no text
            words = [w for w in value.split(",") if w.strip()] if isinstance(value, str) else value
            return tuple(float(word) for word in words)
        except (TypeError, ValueError):
            raise click.BadParameter(f"{value}: write numbers as 1,0.75") from None
