"""`twostream cache duplicates`: videos that look nearly alike, and on which sides of a split they are."""

import sys
from pathlib import Path
from typing import Any

import click

from flowcache.errors import UserError
from twostream.commands._click_options import FOLDER, given_by_user, options_of
from twostream.commands._shared import (
    CACHE,
    JSON,
    example,
    notes,
    print_json,
    print_lines,
    results,
)
from twostream.runs.training_options import RunOptions, SplitOptions


@click.command(
    epilog=example(
        "twostream cache duplicates --run runs/spatial",
        "twostream cache duplicates --train-list trainlist01.txt --test-list testlist01.txt",
    )
)
@CACHE
@click.option("--run", type=FOLDER, help="Folder of a run, whose split is looked at.")
@options_of(SplitOptions)
@options_of(RunOptions, "seed")
@JSON
@click.pass_context
def duplicates(
    ctx: click.Context, /, cache: Path, run: Path | None, seed: int, as_json: bool, **given: Any
) -> None:
    """Name videos that look nearly alike, those on both sides of a split first.

    The split is that of a run, or the one that `train` would make with the same options. The exit status
    is 1 where a test video looks like one that trains or chooses the best epoch.
    """
    from flowcache.cache.store import FlowCache
    from twostream.commands._progress import Bar
    from twostream.data.duplicates import near_duplicates
    from twostream.data.splits import read_split
    from twostream.option_fields import from_flat
    from twostream.runs.files import SPLIT
    from twostream.runs.split_of_run import split_cache

    opened = FlowCache.open(cache)
    if run is None:
        options = from_flat(SplitOptions, given)
        index, split = split_cache(
            opened, options, seed, lambda text: notes.print(text, soft_wrap=True)
        )
        groups = {item.id: item.group for item in index.items}
    else:
        if others := given_by_user(ctx, ["seed", *given]):
            raise UserError(
                f"the split is that of {run}: leave out {others[0].replace('_', ' ')}", others[0]
            )
        split, groups = read_split(run / SPLIT)
    parts = {i: part for part in split.PARTS for i in getattr(split, part)}
    ids = sorted(parts)
    with Bar(notes, "read", "videos") as bar:
        pairs = near_duplicates(opened, ids, ids, lambda done: bar.progressed(done, len(ids)))
    of_two_groups = [pair for pair in pairs if groups[pair.one] != groups[pair.other]]
    across: list[dict[str, Any]] = []
    on_one_side: list[dict[str, Any]] = []
    for pair in of_two_groups:
        sides = [{"video": i, "part": parts[i]} for i in (pair.one, pair.other)]
        tested = sum(side["part"] == "test" for side in sides)
        (across if tested == 1 else on_one_side).append(
            {"distance": pair.distance, "videos": sides}
        )
    told = {
        "videos": len(ids),
        "across_the_split": across,
        "on_one_side": on_one_side,
        "of_one_group": len(pairs) - len(of_two_groups),
    }
    if as_json:
        print_json(told)
    else:
        _print(told)
    if across:
        sys.exit(1)


def _print(told: dict[str, Any]) -> None:
    across, on_one_side = told["across_the_split"], told["on_one_side"]
    if across:
        results.print(
            "Near-duplicates on both sides of the split, with their distance in bits of 64. Name one "
            "group for both by --groups, or leave one of them out:",
            soft_wrap=True,
        )
        print_lines(map(_line, across), results)
    if on_one_side:
        results.print("Near-duplicates of two groups that are on one side of this split:")
        print_lines(map(_line, on_one_side), results)
    results.print(
        f"{told['videos']} videos: {len(across)} pairs across the split, {len(on_one_side)} pairs of two "
        f"groups on one side, {told['of_one_group']} pairs of one group, which stay together",
        soft_wrap=True,
    )


def _line(pair: dict[str, Any]) -> str:
    videos = "  ".join(f"{side['video']} ({side['part']})" for side in pair["videos"])
    return f"  {pair['distance']:4.1f}  {videos}"
