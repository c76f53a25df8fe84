"""An extraction in a process of its own that a test may kill."""

import os
from pathlib import Path
from typing import Any

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.extraction.many import extract_folder
from flowcache.extraction.one import Job


def extract(videos: Path, cache: Path, recipe: Recipe, signs: Any) -> None:
    """Extract as the command does; `signs` is sent a word when it begins, and at the first fields."""
    os.setsid()  # a process group of its own, its children included
    signs.send("begun")
    told = False

    def tell(job: Job, done: int, expected: int) -> None:
        nonlocal told
        if not told:
            told = True
            signs.send("working")

    summary = extract_folder(
        videos, FlowCache.create(cache, recipe), jobs=2, timeout=120, on_progress=tell
    )
    raise SystemExit(1 if summary.failures else 0)
