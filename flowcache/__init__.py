"""Videos → optical flow, computed once and cached. The public names; docs/python.md shows their use.

Each name is imported when it is first used, so that importing the package itself costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowcache.cache.entry import DamagedEntryError, Entry, NoBackwardFlowError, NoFramesError
    from flowcache.cache.info import EntryInfo
    from flowcache.cache.recipe import Recipe
    from flowcache.cache.store import FlowCache
    from flowcache.errors import UserError
    from flowcache.exchange.export import export_flow
    from flowcache.exchange.import_many import import_flow
    from flowcache.extraction.api import extract, open_cache, optical_flow
    from flowcache.extraction.outcome import Outcome, Summary
    from flowcache.show.colour import flow_to_color
    from flowcache.types import FlowAlgorithm, FlowStack, Frames
    from flowcache.video.decode import BrokenVideoError, Video

_HOMES = {
    "BrokenVideoError": "video.decode",
    "DamagedEntryError": "cache.entry",
    "Entry": "cache.entry",
    "EntryInfo": "cache.info",
    "FlowAlgorithm": "types",
    "FlowCache": "cache.store",
    "FlowStack": "types",
    "Frames": "types",
    "NoBackwardFlowError": "cache.entry",
    "NoFramesError": "cache.entry",
    "Outcome": "extraction.outcome",
    "Recipe": "cache.recipe",
    "Summary": "extraction.outcome",
    "UserError": "errors",
    "Video": "video.decode",
    "export_flow": "exchange.export",
    "extract": "extraction.api",
    "flow_to_color": "show.colour",
    "import_flow": "exchange.import_many",
    "open_cache": "extraction.api",
    "optical_flow": "extraction.api",
}
"""The module that each public name stands in."""

__all__ = [
    "BrokenVideoError",
    "DamagedEntryError",
    "Entry",
    "EntryInfo",
    "FlowAlgorithm",
    "FlowCache",
    "FlowStack",
    "Frames",
    "NoBackwardFlowError",
    "NoFramesError",
    "Outcome",
    "Recipe",
    "Summary",
    "UserError",
    "Video",
    "export_flow",
    "extract",
    "flow_to_color",
    "import_flow",
    "open_cache",
    "optical_flow",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
