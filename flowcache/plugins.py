"""A plug-in is a file or a folder: its name is its public name, and it exposes `create`."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

from flowcache.errors import UserError

_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def names(folder: ModuleType) -> list[str]:
    """The plug-ins in a package, sorted; nothing is imported."""
    return sorted(
        m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_")
    )


def module(folder: ModuleType, name: str) -> ModuleType:
    """One plug-in, imported. Raises UserError for a name that is not there."""
    if name not in names(folder):
        kind = folder.__name__.rpartition(".")[2].removesuffix("s")
        raise UserError(
            f"there is no {kind} {name!r}: choose from {', '.join(names(folder))}", kind
        )
    return importlib.import_module(f"{folder.__name__}.{name}")


def create(folder: ModuleType, name: str, **options: Any) -> Any:
    """Import one plug-in and make it. Raises UserError for a name or an option it does not have."""
    return build(module(folder, name).__name__, name, options)


def build(module_name: str, name: str, options: Mapping[str, Any]) -> Any:
    """Call a module's `create`. Raises UserError, which calls the plug-in `name`, where it refuses."""
    factory, known = _factory(module_name)
    given = {_python_name(key): value for key, value in options.items()}
    for key in given:
        if key not in known:
            raise UserError(_unknown_option(name, key, known), "options")
        if known[key].annotation is int and not hasattr(given[key], "__index__"):
            raise UserError(
                f"{name} cannot be made with these options: {_public_name(key)} must be an integer, "
                f"not {given[key]!r}",
                "options",
            )
    try:
        return factory(**given)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{name} cannot be made with these options: {reason}", "options") from error


def parse_options(folder: ModuleType, name: str, texts: Iterable[str]) -> dict[str, Any]:
    """`["lambda=0.15"]` → `{"lambda": 0.15}`, each value of the type that the plug-in declares."""
    _, parameters = _factory(module(folder, name).__name__)
    # What has no default is not the user's to say: the caller provides it.
    known = {k: p for k, p in parameters.items() if p.default is not inspect.Parameter.empty}
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"the option {text!r} has no value: write it as NAME=VALUE", "options")
        parameter = known.get(_python_name(key))
        if parameter is None:
            raise UserError(_unknown_option(name, key, known), "options")
        options[key] = _convert(name, key, value, parameter.annotation)
    return options


def public_options(plugin: Any) -> dict[str, Any]:
    """Every option of a plug-in that is a dataclass, under its public name, defaults included."""
    options = getattr(plugin, "__dataclass_fields__", ())
    return {_public_name(key): getattr(plugin, key) for key in options}


def _factory(
    module_name: str,
) -> tuple[Callable[..., Any], Mapping[str, inspect.Parameter]]:
    factory = importlib.import_module(module_name).create
    return factory, inspect.signature(factory, eval_str=True).parameters


def _python_name(key: str) -> str:
    # `lambda` is the field's name for the parameter and a reserved word of the language.
    return "lambda_" if key == "lambda" else key


def _public_name(key: str) -> str:
    return key.removesuffix("_")


def _unknown_option(name: str, key: str, known: Iterable[str]) -> str:
    options = ", ".join(_public_name(k) for k in known)
    return f"{name} has no option {key!r}: it has {options or 'none'}"


def _convert(name: str, key: str, value: str, wanted: Any) -> Any:
    if get_origin(wanted) is Literal:
        if value in get_args(wanted):
            return value
        known = ", ".join(map(str, get_args(wanted)))
        raise UserError(f"{name}: {key}={value} is none of {known}", "options")
    if wanted is bool:
        if value.lower() in _BOOLS:
            return _BOOLS[value.lower()]
        raise UserError(f"{name}: {key}={value} must be true or false", "options")
    try:
        return wanted(value)
    except ValueError:
        raise UserError(f"{name}: {key}={value} must be a {wanted.__name__}", "options") from None
