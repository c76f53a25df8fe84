"""What several commands share: options that are no part of a run, and where they print."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from twostream import fusion
from twostream.commands._click_options import (
    FOLDER,
    RUN,
    Decorator,
    Numbers,
    options_of,
    refuse_given,
    together,
)
from twostream.runs.training_options import TrainOptions
from twostream.scoring.protocols import PROTOCOLS

# Names of files may hold brackets, which are not markup.
results = Console(highlight=False, markup=False)
"""What a command was asked for: standard output."""

notes = Console(highlight=False, markup=False)
"""What it says while it works; `--quiet` turns it off, and `--json` sends it to standard error."""

errors = Console(highlight=False, markup=False, stderr=True)
"""What went wrong: standard error."""

CACHE = click.option(
    "--cache", type=FOLDER, default=Path("cache"), show_default=True, help="Folder of the cache."
)


class WeightsOrFit(Numbers):
    """Numbers with commas between them, or `fit`."""

    def convert(self, value: Any, *rest: Any) -> Any:
        """`1,0.5` → (1.0, 0.5)."""
        return value if value == "fit" else super().convert(value, *rest)


WEIGHTS = click.option(
    "--weights",
    type=WeightsOrFit(),
    default=(),
    show_default="all alike",
    metavar="SHARE|W,W,…|fit",
    help="The share of the second of two runs, a weight for each run, or those that fit what training "
    "held back.",
)
RULE = click.option(
    "--rule",
    type=click.Choice(fusion.names()),
    default="softmax",
    show_default=True,
    help="How the scores are joined. What is fitted is fitted on what training held back.",
)
RUNS = (Path("runs/spatial"), Path("runs/temporal"))
"""The runs that are fused where none are named."""

NETWORKS = click.option(
    "--run",
    type=RUN,
    multiple=True,
    default=RUNS,
    show_default=" ".join(map(str, RUNS)),
    help="A run, or a network that was exported from one, once for each; several are fused.",
)
"""Whose networks see new videos."""


def refuse_fusion_of_one(
    ctx: click.Context, runs: Collection[object], *, also: Sequence[str] = ()
) -> None:
    """UserError where the user says how to fuse, and there is one run alone."""
    if len(runs) == 1:
        refuse_given(
            ctx,
            ("weights", "rule", *also),
            "one run is not fused: leave it out, or name another run",
        )


def _take_protocol(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None:
        ctx.default_map = {**(ctx.default_map or {}), **asdict(PROTOCOLS[name])}


VIEWS = together(
    click.option(
        "--protocol",
        type=click.Choice(list(PROTOCOLS)),
        is_eager=True,  # its values are the defaults of the options below
        expose_value=False,
        callback=_take_protocol,
        help="Clips, crops and average as in a paper; what is given beside it wins.",
    ),
    options_of(TrainOptions, "clips", "crops", "average"),
)
"""What of each video is scored."""

SCORED_VIEWS = click.option(
    "--views",
    default="",
    metavar="CLIPSxCROPS[-softmax]",
    help="Take what `evaluate` gave with other clips and crops, as 25x10, or with another average.",
    show_default="the runs' own",
)
"""Which of the scores of a run are meant, where there are several."""


def plugin_option(kind: str) -> Decorator:
    """`--option NAME=VALUE` of a kind of plug-in, as "model"; `plugins.parse_options` reads it."""
    help = f"An option of the {kind}."
    return click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help=help)


def _notes_apart(ctx: click.Context, parameter: click.Parameter, as_json: bool) -> bool:
    notes.stderr = as_json  # standard output is for the program that reads it
    return as_json


JSON = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_notes_apart,
    help="Print JSON in place of a table; notes and progress go to standard error.",
)


class Jobs(click.ParamType[int]):
    """A number of processes as joblib counts them."""

    name = "integer"

    def convert(self, value: Any, *_: Any) -> int:
        """1 or more, −1 for all cores, −2 for all but one, and so on."""
        if len(str(value)) < 10 and str(value).lstrip("-").isdecimal() and int(value) != 0:
            return int(value)
        raise click.BadParameter(
            f"{value} is no number of processes: 1 or more, -1 for all cores, or -2 for all but one"
        )


def example(*lines: str) -> str:
    """The end of a command's help."""
    return (
        "\b\nExample" + ("s" if len(lines) > 1 else "") + ":\n" + "\n".join(f"  {x}" for x in lines)
    )


def print_json(content: Any) -> None:
    """As a program reads it, on standard output."""
    print(json.dumps(content, indent=2))


def print_lines(lines: Iterable[str], console: Console) -> None:
    """Sentences that are not wrapped."""
    for line in lines:
        console.print(line, soft_wrap=True)
