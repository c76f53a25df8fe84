"""Two runs beside each other: as a table, and as a program reads it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from twostream.scoring.align import same_videos
from twostream.scoring.intervals import (
    MEASURES,
    RESAMPLES,
    Comparison,
    Interval,
    compare,
    interval,
)
from twostream.scoring.scores import Scores


def comparison_table(one: Sequence[Scores], other: Sequence[Scores]) -> Table:
    """A column for each measure: both runs, the gain of the first over the second, its p-value."""
    found = comparisons(one, other)
    units = "groups" if found["groups"] < found["videos"] else "videos"
    of_groups = f" of {found['groups']} groups" if units == "groups" else ""
    table = Table(
        title=f"{found['videos']} videos{of_groups}, accuracy in %",
        title_justify="left",
        caption=f"in brackets: 95 % interval, bootstrap over {units}; p by swapping {units}",
        caption_justify="left",
    )
    table.add_column("", overflow="fold")
    columns = []
    for measure, heading in MEASURES.items():
        table.add_column(heading, justify="right")
        row = found[measure]
        first, second = (str(Interval(**row[name])) for name in ("one", "other"))
        comparison = Comparison(Interval(**row["gain"]), row["p"])
        columns.append((first, second, f"{comparison.gain:+}", comparison.shown_p))
    for heading, *cells in zip(
        (_heading(one), _heading(other), "gain", "p"), *columns, strict=True
    ):
        table.add_row(heading, *cells)
    return table


def comparisons(one: Sequence[Scores], other: Sequence[Scores]) -> dict[str, Any]:
    """For each measure both runs and the gain of the first with their intervals, and its p-value.

    one, other: the scores of a run, or of several that differ in the seed of their training. Errors as
    those of `scoring.intervals.compare`.
    """
    joined = same_videos([*one, *other])
    one, other = joined[: len(one)], joined[len(one) :]
    first = joined[0].labelled()
    found: dict[str, Any] = {
        "one": [scores.name for scores in one],
        "other": [scores.name for scores in other],
        "videos": len(first),
        "groups": len(set(first.groups or first.ids)),
        "resamples": RESAMPLES,
    }
    for measure in MEASURES:
        found[measure] = {
            "one": asdict(interval(one, measure)),
            "other": asdict(interval(other, measure)),
            **asdict(compare(one, other, measure)),
        }
    return found


def _heading(runs: Sequence[Scores]) -> str:
    more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return f"{runs[0].name}{more}"
