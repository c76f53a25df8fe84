"""`twostream fuse`: the scores of runs, joined."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twostream.commands._click_options import FOLDER
from twostream.commands._shared import (
    JSON,
    RULE,
    RUNS,
    SCORED_VIEWS,
    WEIGHTS,
    example,
    notes,
    print_json,
    results,
)
from twostream.runs import files

if TYPE_CHECKING:
    from twostream.fusion import Fusion, Weights


@click.command(
    epilog=example(
        "twostream fuse --weights 0.5",
        "twostream fuse --weights fit",
        "twostream fuse --rule log_linear",
        "twostream fuse runs/spatial runs/temporal runs/i3d --weights 1,1.5,1 --run runs/three",
    )
)
@click.argument("runs", type=FOLDER, nargs=-1, metavar="[RUN RUN…]")
@WEIGHTS
@RULE
@click.option(
    "--run",
    type=FOLDER,
    default=Path("runs/fused"),
    show_default=True,
    help="Folder for the result.",
)
@SCORED_VIEWS
@JSON
def fuse(
    runs: Sequence[Path],
    weights: "Weights",
    rule: str,
    run: Path,
    views: str,
    as_json: bool,
) -> None:
    """Fuse the scores of two runs or more, and say what it gains.

    Without names these are runs/spatial and runs/temporal. What is fitted is fitted on their validation
    videos, and never on the test.
    """
    from twostream import score_fusion
    from twostream.report.tables import accuracies, accuracy_table

    result = score_fusion.fuse(runs or RUNS, weights, rule, run, views)
    gain = result.gain
    if as_json:
        print_json(
            {
                "runs": {one.name: accuracies(one) for one in result.runs},
                "fused": accuracies(result.fused),
                "gain": gain.to_json(),
                "rule": rule,
                "shares": result.rule.shares,
                "held_out": result.rule.held_out,
                "parameters": dict(result.rule.parameters),
                "curve": asdict(result.curve) if result.curve else None,
            }
        )
        return
    notes.print(_told(result.rule), soft_wrap=True)
    scores = [*result.runs, result.fused]
    results.print(accuracy_table(scores, f"{len(scores[0])} test videos, accuracy in %"))
    for name, one in (("top-1", gain.top1), ("mean class", gain.mean_class)):
        results.print(f"gain over {gain.over}, {name}: {one}", soft_wrap=True)
    results.print(gain.verdict, soft_wrap=True)
    drawn = f", and the accuracy over the share in {files.WEIGHTS_PICTURE}" if result.curve else ""
    notes.print(f"scores and the confusion matrix are in {run}{drawn}", soft_wrap=True)


def _told(rule: "Fusion") -> str:
    """How the runs were joined."""
    shares = rule.shares or {}
    parts = [f"fused by {rule.name}"]
    if shares:
        parts.append(
            "shares: " + ", ".join(f"{name} {share:.3g}" for name, share in shares.items())
        )
    if rule.held_out:
        parts.append(f"fitted on {rule.held_out} validation videos")
    return ", ".join(parts)
