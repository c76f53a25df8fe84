"""Which device computes the flow, and with which of an algorithm's backends.

The modules of batched backends import PyTorch, and are imported only where there may be a device.
"""

import ctypes
import importlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowcache import algorithms, plugins
from flowcache.cache.recipe import IMPORTED, Recipe
from flowcache.errors import UserError
from flowcache.types import Backend


@dataclass(frozen=True)
class Choice:
    """A backend and where it runs."""

    backend: str

    devices: Sequence[str] = ()
    """Each has a process, which all videos ask. Without any, each video's own process computes."""

    reason: str = ""
    """Why a GPU was not taken, where one might wonder."""


def choose(
    algorithm: str,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    backend: str = "auto",
    begun: Recipe | None = None,
) -> Choice:
    """The backend of an algorithm that computes on a device, the fastest where there are several.

    device: "cpu", "cuda" for all GPUs of CUDA's or ROCm's, one of them as "cuda:1", "mps", or "auto":
        all GPUs of the former, where there are any and the algorithm can use them.
    begun: the recipe of the cache that is to be continued; "auto" goes on as it was begun.

    Raises UserError where the device is not here, or not for this algorithm and these options.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise UserError(f"{device} is no device: write auto, cpu, cuda, cuda:1 or mps", "device")
    options = options or {}
    if device != "auto":
        named = [algorithms.backend(algorithm, backend)] if backend != "auto" else None
        return _on(device, algorithm, named or algorithms.backends(algorithm), options)
    batched = [b for b in algorithms.backends(algorithm) if b.batched]
    with_gpu = bool(batched) and has_gpu_driver()
    if backend != "auto":
        return _on_gpu_or_cpu(algorithm, algorithms.backend(algorithm, backend), options)
    if begun and begun.algorithm == algorithm:
        if begun.backend != "cpu":
            return _on_gpu_or_cpu(algorithm, algorithms.backend(algorithm, begun.backend), options)
        return Choice("cpu", reason="the cache was begun on the CPU" if with_gpu else "")
    if not with_gpu:
        return Choice("cpu")
    if difference := _difference(algorithm, options, batched[0]):
        return Choice("cpu", reason=difference)
    try:
        return _on("cuda", algorithm, batched, options)
    except UserError as error:
        return Choice("cpu", reason=str(error))


def for_this_machine(recipe: Recipe) -> Recipe:
    """The recipe, or the same on the CPU's backend where its own cannot be repeated here.

    That is where this machine lacks the device, or has the backend in another version. Raises UserError
    for flow that was imported.
    """
    if recipe.algorithm == IMPORTED:
        recipe.create_algorithm()  # which says why there is none, before a video is opened
    if recipe.backend == "cpu":
        return recipe
    backend = algorithms.backend(recipe.algorithm, recipe.backend)
    if devices_of(backend):
        own = algorithms.create(recipe.algorithm, recipe.backend, **recipe.options)
        if own.version == recipe.algorithm_version:
            return recipe
    return recipe.with_algorithm(recipe.algorithm, recipe.options)


def devices_of(backend: Backend) -> Sequence[str]:
    """The devices of this machine that a backend can run on; none where it lacks PyTorch."""
    if not backend.batched:
        return ["cpu"]
    try:
        devices: Sequence[str] = importlib.import_module(backend.module).devices()
    except ModuleNotFoundError:
        return []
    return devices


def has_gpu_driver() -> bool:
    """Whether there may be a GPU of CUDA's or ROCm's; quick, and without PyTorch."""
    with suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        return True
    return Path("/dev/kfd").exists()


def _on(
    device: str, algorithm: str, backends: Sequence[Backend], options: Mapping[str, Any]
) -> Choice:
    kind = device.partition(":")[0]
    able = [backend for backend in backends if kind in backend.devices]
    if not able:
        known = sorted({kind for backend in backends for kind in backend.devices})
        raise UserError(
            f"{algorithm} computes on {' or '.join(known)} and not on {device}: name another device",
            "device",
        )
    found: set[str] = set()
    for backend in able:
        devices = devices_of(backend)
        found.update(devices)
        if usable := [d for d in devices if device in (d, d.partition(":")[0])]:
            algorithms.create(algorithm, backend.name, **options)
            return Choice(backend.name, usable if backend.batched else ())
    raise UserError(
        f"{algorithm} needs the device {device}, and PyTorch finds "
        f"{', '.join(sorted(found)) or 'none for it'} here: use the device cpu, or install the GPU's "
        "driver and a PyTorch that was built for it",
        "device",
    )


def _on_gpu_or_cpu(algorithm: str, backend: Backend, options: Mapping[str, Any]) -> Choice:
    on_gpu = any(device.startswith("cuda") for device in devices_of(backend))
    device = "cuda" if on_gpu or "cpu" not in backend.devices else "cpu"
    return _on(device, algorithm, [backend], options)


def _difference(algorithm: str, options: Mapping[str, Any], batched: Backend) -> str:
    """Why a batched backend would compute otherwise with these options; empty where it would not."""
    here = plugins.public_options(algorithms.create(algorithm, **options))
    try:
        there = plugins.public_options(algorithms.create(algorithm, batched.name, **options))
    except UserError as error:
        return str(error)
    only = [f"{key}={value}" for key, value in here.items() if there.get(key) != value]
    return f"{', '.join(only)} is for the CPU alone" if only else ""
