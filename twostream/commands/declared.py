"""Options of the command line, made from the fields in which they are declared; and `--config`."""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any, get_origin

import click

from flowcache.errors import UserError
from twostream.options import choices, declared, value_type

Decorator = Callable[[Any], Any]

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which the help lists them."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def options_of(kind: Any) -> Decorator:
    """An option for each field that a dataclass, or a dataclass among its fields, declares."""
    return together(*(_option(each) for each in declared(kind)))


def config_option() -> Decorator:
    """`--config`, whose values are the defaults of all other options of the command."""
    return click.option(
        "--config",
        type=FILE,
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="Take options from a TOML file, or from the run.json of a run; the command line wins.",
    )


def _option(each: Field[Any]) -> Decorator:
    name, told = each.name.replace("_", "-"), each.metadata
    required = each.default is MISSING
    default = None if required else each.default
    shown: str | bool = told["shown_default"] or default not in (None, ())
    words: dict[str, Any] = {"help": told["help"], "show_default": shown}
    if not required:  # to click even None would be a default, with which nothing is missing
        words["default"] = default
    if value_type(each) is bool:
        negated = f"/--no-{name}" if default else ""
        return click.option(f"--{name}{negated}", each.name, is_flag=True, **words)
    if told["metavar"]:
        words["metavar"] = told["metavar"]
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
        if not isinstance(value, str):  # a default, or a list of a file
            return tuple(value)
        try:
            return tuple(float(word) for word in value.split(",") if word.strip())
        except ValueError:
            raise click.BadParameter(f"{value}: write numbers as 1,0.875,0.75") from None


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    values = read_config(path)
    known = {parameter.name for parameter in ctx.command.params} - {"config"}
    if unknown := sorted(set(values) - known):
        raise UserError(
            f"{path} names {unknown[0]!r}, which is no option of {ctx.info_name}", "config"
        )
    ctx.default_map = {**(ctx.default_map or {}), **values}


def read_config(path: Path) -> dict[str, Any]:
    """The options in a TOML file, or in the `run.json` of a run, by their names.

    TOML has `learning_rate = 0.01` or `learning-rate = 0.01`, and a model's options in the table
    `[options]`. Raises UserError for a file that is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return _flat(json.loads(text)["options"])
        return _flat(tomllib.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UserError(
            f"{path} cannot be read as TOML, or as the run.json of a run ({reason})", "config"
        ) from None


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name == "options":  # those of the model, as they stand on the command line
            flat[name] = [f"{option}={setting}" for option, setting in value.items()]
        elif isinstance(value, dict):
            flat |= _flat(value)
        elif value is not None:
            flat[name] = value
    return flat
