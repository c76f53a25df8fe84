"""Algorithms of optical flow: each is a file, or a folder that holds its backends."""

import sys
from collections.abc import Sequence
from typing import Any

from flowcache import plugins
from flowcache.errors import UserError
from flowcache.types import Backend, FlowAlgorithm

_FOLDER = sys.modules[__name__]


def names() -> list[str]:
    """The algorithms that there are, sorted."""
    return plugins.names(_FOLDER)


def backends(name: str) -> Sequence[Backend]:
    """The implementations of an algorithm, as it declares them; a file of its own is one for the CPU.

    Raises UserError for a name that is not there.
    """
    module = plugins.module(_FOLDER, name)
    declared: Sequence[Backend] = getattr(module, "BACKENDS", ())
    return declared or [Backend(name="cpu", module=module.__name__)]


def backend(name: str, wanted: str) -> Backend:
    """One implementation of an algorithm. Raises UserError for a name that is not there."""
    declared = backends(name)
    for candidate in declared:
        if candidate.name == wanted:
            return candidate
    known = ", ".join(b.name for b in declared)
    raise UserError(f"{name} has no backend {wanted!r}: choose from {known}", "backend")


def create(name: str, backend_name: str = "cpu", **options: Any) -> FlowAlgorithm:
    """Make an algorithm. Raises UserError for a name or an option that it does not have."""
    algorithm: FlowAlgorithm = plugins.build(backend(name, backend_name).module, name, options)
    return algorithm


def name_of(algorithm: FlowAlgorithm) -> tuple[str, str]:
    """The name and the backend that a cache records: for a user's own its module and class, and "cpu"."""
    kind = type(algorithm)
    for name in names():
        for candidate in backends(name):
            if candidate.module == kind.__module__:
                return name, candidate.name
    return f"{kind.__module__}.{kind.__qualname__}", "cpu"
