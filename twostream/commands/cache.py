"""`twostream cache`: look into a cache."""

import sys
from pathlib import Path
from typing import Any

import click

from twostream.commands._shared import (
    CACHE,
    JSON,
    Jobs,
    example,
    notes,
    print_json,
    print_lines,
    results,
)
from twostream.commands.cache_duplicates import duplicates


@click.group()
def cache() -> None:
    """Look into a cache."""


cache.add_command(duplicates)


@cache.command(epilog=example("twostream cache info --cache cache"))
@CACHE
@JSON
def info(cache: Path, as_json: bool) -> None:
    """What a cache holds, class by class."""
    from rich.table import Table

    from flowcache.cache.store import FlowCache

    opened = FlowCache.open(cache)
    rows, partial, damaged, unknown = _by_class(opened)
    if as_json:
        print_json(
            {
                "recipe": str(opened.recipe),
                "classes": rows,
                "partial": partial,
                "damaged": damaged,
                "complete_unknown": unknown,
            }
        )
    else:
        notes.print(f"{cache}: {opened.recipe}")
        table = Table("class")
        for heading in ("videos", "fields", "bytes a field", "saturated"):
            table.add_column(heading, justify="right")
        for row in rows:
            table.add_row(
                row["class"],
                f"{row['videos']}",
                f"{row['fields']}",
                f"{row['bytes_a_field']:,.0f}",
                f"{100 * row['saturated']:.3f} %",
            )
        results.print(table)
        notes.print("bytes include the RGB frames")
        if unknown:
            notes.print(
                f"whether the video was complete is unknown for {unknown}: nothing announced its end"
            )
        print_lines((f"  partial: {line}" for line in partial), results)
        print_lines((f"  damaged: {line}" for line in damaged), results)
    if damaged:
        sys.exit(1)


def _by_class(opened: Any) -> tuple[list[dict[str, Any]], list[str], list[str], int]:
    """A row for each class and one for all, the partial and the damaged entries, and how many are of
    videos of which nothing told whether they were complete.
    """
    from flowcache.cache.entry import DamagedEntryError

    groups: dict[str, list[Any]] = {}
    partial, damaged = [], []
    for identifier, found in opened.infos():
        if isinstance(found, DamagedEntryError):
            damaged.append(str(found))
            continue
        size = opened.path(identifier).stat().st_size
        folder, slash, _ = identifier.partition("/")
        groups.setdefault(folder if slash else ".", []).append((found, size))
        if found.partial:
            partial.append(f"{identifier}: {found.partial}")
    unknown = sum(
        one.complete == "unknown" and not one.partial
        for pairs in groups.values()
        for one, _ in pairs
    )
    everything = [pair for pairs in groups.values() for pair in pairs]
    rows = []
    for name, pairs in [*sorted(groups.items()), ("all", everything)]:
        if not pairs:
            continue
        fields = sum(one.fields for one, _ in pairs)
        values = sum(one.values for one, _ in pairs)
        rows.append(
            {
                "class": name,
                "videos": len(pairs),
                "fields": fields,
                "bytes_a_field": sum(size for _, size in pairs) / fields,
                "saturated": sum(one.saturated for one, _ in pairs) / values,
            }
        )
    return rows, partial, damaged, unknown


@cache.command(epilog=example("twostream cache verify --jobs 4"))
@CACHE
@click.option(
    "--jobs", type=Jobs(), default=-1, show_default=True, help="Processes; -1: all cores."
)
@JSON
def verify(cache: Path, jobs: int, as_json: bool) -> None:
    """Read all of a cache and check every checksum and count."""
    from flowcache.cache.store import FlowCache
    from twostream.commands._progress import Bar

    opened = FlowCache.open(cache)
    ids = opened.ids()
    damaged = {}
    with Bar(notes, "verify", "entries") as bar:
        for number, (identifier, problem) in enumerate(opened.verify(jobs), 1):
            bar.progressed(number, len(ids))
            if problem:
                damaged[identifier] = problem
    if as_json:
        print_json({"entries": len(ids), "damaged": damaged})
    elif damaged:
        print_lines((f"  damaged: {name}: {why}" for name, why in damaged.items()), results)
        results.print(
            f"{len(damaged)} of {len(ids)} entries are damaged: delete them and extract again"
        )
    else:
        results.print(f"all {len(ids)} entries are whole")
    if damaged:
        sys.exit(1)
