"""The `twostream` command: its parts, and how errors are told."""

import errno
from typing import Any

import click

from flowcache.errors import UserError
from twostream.commands._shared import notes
from twostream.commands.cache import cache
from twostream.commands.compare import compare
from twostream.commands.demo import demo
from twostream.commands.evaluate import evaluate
from twostream.commands.export import export
from twostream.commands.export_flow import export_flow
from twostream.commands.extract_flow import extract_flow
from twostream.commands.fuse import fuse
from twostream.commands.import_flow import import_flow
from twostream.commands.live import live
from twostream.commands.models import models
from twostream.commands.predict import predict
from twostream.commands.pretrain import pretrain
from twostream.commands.protocol import protocol
from twostream.commands.report import report
from twostream.commands.show import show
from twostream.commands.train import train

_IN_ORDER = (
    extract_flow,
    train,
    fuse,
    report,
    predict,
    live,
    evaluate,
    export,
    protocol,
    compare,
    pretrain,
    show,
    cache,
    import_flow,
    export_flow,
    models,
    demo,
)


class _Group(click.Group):
    """Errors that a user can put right are one sentence, without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [str(command.name) for command in _IN_ORDER]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            if ctx.params.get("verbose"):
                raise
            raise click.ClickException(f"{error}{_flag(self, ctx, error.parameter)}") from error
        except OSError as error:
            if ctx.params.get("verbose") or error.filename is None:
                raise
            raise click.ClickException(_of_the_system(error)) from error


def _of_the_system(error: OSError) -> str:
    """What the system refused, where, and what can be done about it."""
    remedies = {
        errno.EACCES: "change who may write or read there, or name another folder",
        errno.EPERM: "change who may write or read there, or name another folder",
        errno.EROFS: "name a folder that can be written to",
        errno.ENOSPC: "make room, or name another folder",
        errno.EDQUOT: "make room, or name another folder",
        errno.ENAMETOOLONG: "use a shorter name",
    }
    remedy = remedies.get(error.errno or 0, "name another file or folder")
    return f"{error.filename}: {(error.strerror or 'it cannot be used').lower()}: {remedy}"


def _flag(group: click.Group, ctx: click.Context, parameter: str | None) -> str:
    """The option by which the command that runs lets a user set what is at fault, in brackets."""
    command = group.get_command(ctx, ctx.invoked_subcommand or "")
    # Of a group's commands, which of them runs makes no difference: one thing has one name everywhere.
    below = command.commands.values() if isinstance(command, click.Group) else ()
    for one in (command, *below) if command else ():
        for option in one.params:
            if isinstance(option, click.Option) and option.name == parameter:
                return f" ({option.opts[0]})"
    return ""


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 where all went well, 1 where something failed, 2 for a word that is not known.",
)
@click.version_option(package_name="twostream")
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors alone.")
@click.option("-v", "--verbose", is_flag=True, help="Show where in the program an error arose.")
def main(quiet: bool, verbose: bool) -> None:
    """Two-stream video recognition: from a folder of videos to fused scores.

    \b
    twostream extract-flow videos/      # videos/<class>/* → cache/
    twostream train --stream spatial    # → runs/spatial/
    twostream train --stream temporal   # → runs/temporal/
    twostream fuse --weights 0.5        # → runs/fused/
    """  # noqa: D301 (for click it must be the control character)
    notes.quiet, notes.stderr = quiet, False


for _command in _IN_ORDER:
    main.add_command(_command)
