"""Which device computes the flow, and with which form of an algorithm.

`tvl1` is for one processor core; `tvl1_triton` and `tvl1_torch` are the same method for devices. A name
that ends so is a form of the one without its ending, and takes its place where a device is asked for.
Their files import PyTorch and are imported only where there may be a device.
"""

import ctypes
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowcache import algorithms, plugins
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError

_ENDINGS = ("_triton", "_torch")  # the fastest first


@dataclass(frozen=True)
class Choice:
    """An algorithm and where it runs.

    devices: each has a process, which all videos ask; without any, each video's own process computes.
    reason: why a GPU was not taken, where one might wonder.
    """

    algorithm: str
    options: Mapping[str, Any]
    devices: Sequence[str] = ()
    reason: str = ""


def choose(
    algorithm: str, options: Mapping[str, Any], device: str, begun: Recipe | None = None
) -> Choice:
    """The algorithm, or its form for a device.

    device: "cpu", "cuda" for all GPUs of CUDA's or ROCm's, one of them as "cuda:1", "mps", or "auto":
        all GPUs of the former, where there are any and the algorithm has a form for them.
    begun: the recipe of the cache that is to be continued; "auto" goes on as it was begun.

    Raises UserError where the device is not here, or not for this algorithm and these options.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise UserError(f"--device {device} is none: write auto, cpu, cuda, cuda:1 or mps")
    forms = _forms(algorithm)
    if device != "auto":
        if device == "cpu" and algorithm not in forms:
            return Choice(algorithm, options)
        if not forms:
            raise UserError(f"{algorithm} is for the CPU alone: use --device cpu")
        return _on(device, forms, options)
    if begun and begun.algorithm in forms:
        algorithm = begun.algorithm
    if algorithm in forms:
        return _on_gpu_or_cpu(algorithm, options)
    if not forms or not _has_gpu_driver():
        return Choice(algorithm, options)
    if begun and begun.algorithm == algorithm:
        return Choice(algorithm, options, reason="the cache was begun on the CPU")
    if only := _only_of(algorithm, options, forms[0]):
        return Choice(algorithm, options, reason=f"{', '.join(only)} is for the CPU alone")
    try:
        return _on("cuda", forms, options)
    except UserError as error:
        return Choice(algorithm, options, reason=str(error))


def for_this_machine(recipe: Recipe) -> Recipe:
    """The recipe, or with its algorithm's form for the CPU where its own cannot be repeated here.

    That is where it has no device, or is of another version.
    """
    base = _base(recipe.algorithm)
    if base == recipe.algorithm:
        return recipe
    own = plugins.create(algorithms, recipe.algorithm, **recipe.options)
    if _devices_of(recipe.algorithm) and own.version == recipe.algorithm_version:
        return recipe
    plugin = plugins.create(algorithms, base, **recipe.options)
    return replace(
        recipe,
        algorithm=base,
        algorithm_version=plugin.version,
        options=plugins.public_options(plugin),
    )


def _on(device: str, forms: Sequence[str], options: Mapping[str, Any]) -> Choice:
    found: set[str] = set()
    for form in forms:
        devices = _devices_of(form)
        found.update(devices)
        if usable := [d for d in devices if device in (d, d.partition(":")[0])]:
            off = {key for key, value in options.items() if not value} - {*_options_of(form)}
            given = {key: value for key, value in options.items() if key not in off}
            plugins.create(algorithms, form, **given)
            return Choice(form, given, usable)
    raise UserError(
        f"{' or '.join(forms)} needs the device {device}, and PyTorch finds "
        f"{', '.join(sorted(found)) or 'none for it'} here: use {_base(forms[0])} with --device cpu, or "
        "install the GPU's driver and a PyTorch that was built for it"
    )


def _on_gpu_or_cpu(form: str, options: Mapping[str, Any]) -> Choice:
    devices = _devices_of(form)
    gpu = any(device.startswith("cuda") for device in devices)
    return _on("cpu" if "cpu" in devices and not gpu else "cuda", [form], options)


def _forms(algorithm: str) -> list[str]:
    """The forms for devices, the fastest first; of one that is such a form itself, that alone."""
    if algorithm != _base(algorithm):
        return [algorithm]
    names = plugins.names(algorithms)
    return [algorithm + ending for ending in _ENDINGS if algorithm + ending in names]


def _base(algorithm: str) -> str:
    for ending in _ENDINGS:
        algorithm = algorithm.removesuffix(ending)
    return algorithm


def _devices_of(form: str) -> list[str]:
    devices: list[str] = plugins.module(algorithms, form).devices()
    return devices


def _options_of(algorithm: str, **given: Any) -> Mapping[str, Any]:
    return plugins.public_options(plugins.create(algorithms, algorithm, **given))


def _only_of(algorithm: str, options: Mapping[str, Any], form: str) -> list[str]:
    """What is switched on that only the CPU's form has."""
    known = _options_of(form)
    values = _options_of(algorithm, **options)
    return [f"{key}={value}" for key, value in values.items() if value and key not in known]


def _has_gpu_driver() -> bool:
    """Whether there may be a GPU of CUDA's or ROCm's; quick, and without PyTorch."""
    with suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        return True
    return Path("/dev/kfd").exists()
