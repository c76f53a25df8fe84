"""The algorithms with their backends, by whether they can run on this machine."""

import importlib

import pytest

from flowcache import algorithms


def _able(backend):
    # A batched backend runs on its module's devices alone, and there may be none here.
    return not backend.batched or bool(importlib.import_module(backend.module).devices())


_ALL = [(name, backend) for name in algorithms.names() for backend in algorithms.backends(name)]
ABLE = [(name, backend.name) for name, backend in _ALL if _able(backend)]
UNABLE = [(name, backend.name) for name, backend in _ALL if not _able(backend)]
every_able_backend = pytest.mark.parametrize(("name", "backend"), ABLE)
