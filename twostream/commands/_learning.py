"""What `train` and `pretrain` share: a run begins with the options that are given, or is resumed."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from twostream.commands._click_options import FOLDER, given_by_user, options_of, together
from twostream.commands._config_file import config_option, drop_excluded, drop_of_another_model
from twostream.commands._shared import CACHE, errors, notes, plugin_option
from twostream.runs.training_options import RunOptions


def learning_options(kind: type[RunOptions], default_run: str) -> Callable[[Any], Any]:
    """Every option of a command that trains."""
    return together(
        options_of(kind),
        plugin_option("model"),
        CACHE,
        click.option(
            "--run",
            type=FOLDER,
            show_default=default_run,
            help="Folder of the run.",
        ),
        click.option(
            "--resume", is_flag=True, help="Go on with a killed run, with the options it had."
        ),
        click.option("--overwrite", is_flag=True, help="Replace an earlier run."),
        config_option(),
        click.pass_context,
    )


def learn(
    ctx: click.Context,
    kind: type[RunOptions],
    stage: Callable[..., Any],
    folder: Path,
    *,
    cache: Path,
    options: Sequence[str],
    resume: bool,
    overwrite: bool,
    **given: Any,
) -> Any:
    """Start a run in a folder with the options that are given, or resume it with those it had."""
    from flowcache import plugins
    from flowcache.cache.store import FlowCache
    from twostream import models
    from twostream.commands._progress import Bar
    from twostream.option_fields import from_flat
    from twostream.runs.run_json import recorded, refuse_new_options
    from twostream.training.listener import Listener

    opened = FlowCache.open(cache)
    if resume:
        # The stream names the run where no folder does.
        others = given_by_user(ctx, [n for n in (*given, "options") if n != "stream"])
        refuse_new_options(folder, others)
        run_options = recorded(kind, folder, given["stream"])
    else:
        drop_excluded(ctx, given)
        drop_of_another_model(ctx, given)
        parsed = plugins.parse_options(models, given["model"], options)
        run_options = from_flat(kind, {**given, "options": parsed})
    ended = 0

    def on_epoch(row: Mapping[str, Any], epochs: int) -> None:
        nonlocal ended
        ended = int(row["epoch"])
        _print_epoch(row, epochs)

    try:
        with Bar(notes, "score", "clips") as bar:
            listener = Listener(
                say=lambda text: notes.print(text, soft_wrap=True),
                on_epoch=on_epoch,
                on_clips=bar.progressed,
                progress_bar=notes.is_terminal and not notes.quiet,
            )
            return stage(
                opened, folder, run_options, resume=resume, overwrite=overwrite, listener=listener
            )
    except KeyboardInterrupt:
        words = ["--stream", run_options.stream, "--cache", str(cache), "--run", str(folder)]
        again = shlex.join(["twostream", str(ctx.info_name), *words, "--resume"])
        errors.print(
            f"stopped after epoch {ended}: `{again}` goes on from there"
            if ended
            else "stopped before an epoch had ended: give the same command again",
            soft_wrap=True,
        )
        ctx.exit(130)


def _print_epoch(row: Mapping[str, Any], epochs: int) -> None:
    words = {
        "train_loss": "train loss",
        "train_top1": "train top-1 of clips",
        "val_loss": "validation loss",
        "val_top1": "validation top-1 of clips",
    }
    parts = [f"{word} {row[name]:.3f}" for name, word in words.items() if name in row]
    notes.print("  ".join([f"epoch {row['epoch']}/{epochs}", *parts]), soft_wrap=True)
