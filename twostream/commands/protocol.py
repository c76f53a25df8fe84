"""`twostream protocol`: all folds and seeds of an experiment, and what they come to."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowcache.errors import UserError
from twostream.commands._click_options import FOLDER, given_by_user, options_of
from twostream.commands._config_file import config_option, read_config
from twostream.commands._shared import (
    CACHE,
    JSON,
    RULE,
    WEIGHTS,
    errors,
    example,
    notes,
    print_json,
    print_lines,
    refuse_fusion_of_one,
    results,
)
from twostream.protocol.options import ProtocolOptions

if TYPE_CHECKING:
    from twostream.protocol.results import FitOn
    from twostream.runs.training_options import TrainOptions


@click.command(
    epilog=example(
        "twostream protocol --scheme group-folds --folds 5 --seeds 0,1,2 --groups groups.csv",
        "twostream protocol --scheme leave-one-group-out --train spatial --train temporal=temporal.toml",
        "twostream protocol --run runs/protocol --fold 03",
    )
)
@options_of(ProtocolOptions)
@click.option(
    "--train",
    "trainings",
    multiple=True,
    default=("spatial", "temporal"),
    show_default="spatial, temporal",
    metavar="NAME[=FILE]",
    help="What is trained in each fold: a stream, or a name and the options that `train --config` takes.",
)
@CACHE
@click.option(
    "--run",
    type=FOLDER,
    default=Path("runs/protocol"),
    show_default=True,
    help="Folder of all the runs; one that holds a protocol needs no other option.",
)
@click.option(
    "--fold", "only", multiple=True, metavar="NAME", help="Work on this fold alone, as 03."
)
@RULE
@WEIGHTS
@click.option(
    "--fit-on",
    type=click.Choice(["validation", "folds"]),
    default="validation",
    show_default=True,
    help="On which videos a rule or shares are fitted: those that validated in the fold, or those that "
    "tested in all others.",
)
@click.option(
    "--views",
    default="",
    metavar="CLIPSxCROPS[-softmax]",
    help="Score all runs with other clips and crops, as 25x10, or with another average.",
    show_default="the runs' own",
)
@JSON
@config_option()
@click.pass_context
def protocol(
    ctx: click.Context,
    /,
    trainings: Sequence[str],
    cache: Path,
    run: Path,
    only: Sequence[str],
    rule: str,
    weights: Sequence[float],
    fit_on: "FitOn",
    views: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Train and test all folds, with all seeds.

    Their results are taken together, with intervals. What was killed goes on when the command is given
    again. Several processes may share one folder: each takes what no other has.
    """
    from flowcache.cache.store import FlowCache
    from twostream.commands._progress import Bar
    from twostream.protocol import plan
    from twostream.protocol.results import Ensemble, refuse_unfit
    from twostream.protocol.summary import figures, gain_sentences, results_table
    from twostream.protocol.work import score_views, work
    from twostream.runs.run_json import write_json
    from twostream.runs.views import Views, with_views
    from twostream.scoring.scores import FUSED
    from twostream.training.listener import Listener

    if views:
        Views.of_text(views)  # told before anything is trained
    opened = FlowCache.open(cache)
    said = Listener(say=lambda text: notes.print(text, soft_wrap=True))
    if (run / plan.RECORD).exists() and not given_by_user(ctx, [*given, "trainings"]):
        planned = plan.recorded(run)
    else:
        runs = dict(_training(text) for text in trainings)
        if len(runs) < len(trainings):
            told = [text.partition("=")[0] for text in trainings]
            twice = next(name for name in told if told.count(name) > 1)
            raise UserError(
                f"two trainings are called {twice}: give one another name, as name=FILE",
                "trainings",
            )
        planned = plan.begin(opened, run, ProtocolOptions(**given), runs, said.say)

    names = tuple(planned.runs)
    refuse_fusion_of_one(ctx, names, also=["fit_on"])
    ensembles = [Ensemble(FUSED, names, rule, weights, fit_on)] if len(names) > 1 else []
    refuse_unfit(planned, ensembles)

    def on_training(training: plan.Training, number: int, count: int) -> None:
        notes.print(f"\n{number} of {count}: {training}", style="bold", soft_wrap=True)

    try:
        with Bar(notes, "score", "clips") as bar:
            listener = Listener(
                say=said.say,
                on_clips=bar.progressed,
                progress_bar=notes.is_terminal and not notes.quiet,
            )
            left = work(planned, opened, only=only, listener=listener, on_training=on_training)
            if views and not left:
                score_views(planned, opened, views, listener=listener)
    except KeyboardInterrupt:
        words = ["--cache", str(cache), "--run", str(run)]
        how = {"rule": rule, "fit_on": fit_on, "views": views}
        for name in given_by_user(ctx, [*how]):
            words += [f"--{name.replace('_', '-')}", how[name]]
        again = shlex.join(["twostream", "protocol", *words])
        errors.print(f"stopped: `{again}` goes on from there", soft_wrap=True)
        ctx.exit(130)
    if left:
        if as_json:
            print_json({"left": [str(training) for training in left]})
        notes.print(
            f"{len(left)} of {len(list(planned.trainings()))} runs are not done, the first is "
            f"{left[0]}: give the command again when they are, or where they are to be trained",
            soft_wrap=True,
        )
        return
    summary = figures(planned, opened, ensembles, views)
    path = run / (with_views("results.json", views) if views else "results.json")
    write_json(path, summary)
    if as_json:
        print_json(summary)
        return
    results.print(results_table(summary))
    print_lines(gain_sentences(summary), results)
    notes.print(f"all figures are in {path}", soft_wrap=True)


def _training(text: str) -> "tuple[str, TrainOptions]":
    """`temporal`, or `deep=FILE`: its name and its options."""
    from flowcache import plugins
    from twostream import models
    from twostream.protocol.plan import OF_PROTOCOL, train_options
    from twostream.runs.training_options import TrainOptions

    name, equals, file = text.partition("=")
    values = dict(read_config(Path(file))) if equals else {}
    if file.endswith(".json"):  # the record of a run has those of that run
        values = {name: value for name, value in values.items() if name not in OF_PROTOCOL}
    model = values.get("model", TrainOptions.model)
    values["options"] = plugins.parse_options(models, model, values.get("options", ()))
    return name, train_options(name, values)
