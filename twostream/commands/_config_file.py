"""`--config`: options from a TOML file, or from the `run.json` of a run."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from flowcache.errors import UserError
from twostream.commands._click_options import FILE, Decorator

_CHOOSE_A_RECIPE = ("stream", "model", "init")
"""The options that decide which recipe a model fills in."""

_LEFT_TO_MODEL = f"{__name__}.left_to_model"
"""Where a command remembers which options of a `run.json` its model had filled in."""


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
    if path.suffix == ".json":
        ctx.meta[_LEFT_TO_MODEL] = json.loads(path.read_text(encoding="utf-8")).get(
            "left_to_model", []
        )


def drop_excluded(ctx: click.Context, given: dict[str, Any]) -> None:
    """Where the command line gives epochs, a file's steps are dropped, and the other way round."""
    for name, other in (("epochs", "steps"), ("steps", "epochs")):
        sources = [ctx.get_parameter_source(each) for each in (name, other)]
        if sources == [ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP]:
            given[other] = None


def drop_of_another_model(ctx: click.Context, given: dict[str, Any]) -> None:
    """Where another stream, model or start is asked for than a `run.json` has, its recipe is dropped.

    That is what was left to the model there: with `--config runs/spatial/run.json --stream temporal` the
    temporal stream has its own schedule, and of the file what its user had chosen.
    """
    recorded = ctx.default_map or {}
    if all(
        given[name] == recorded.get(name, given[name]) for name in _CHOOSE_A_RECIPE if name in given
    ):
        return
    for name in ctx.meta.get(_LEFT_TO_MODEL, ()):
        if ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP:
            given[name] = None


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
