"""`twostream models`: what there is, and what it costs."""

from collections.abc import Sequence
from typing import get_args

import click

from flowcache.errors import UserError
from twostream.commands._shared import JSON, example, notes, plugin_option, print_json
from twostream.runs.training_options import StreamName


@click.command(
    epilog=example("twostream models", "twostream models i3d c3d --layers --stream temporal")
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--layers", is_flag=True, help="Layer by layer: output sizes and receptive fields.")
@plugin_option("model")
@click.option(
    "--stream",
    type=click.Choice(get_args(StreamName)),
    default="spatial",
    show_default=True,
    help="What the models are built for.",
)
@click.option(
    "--length", type=click.IntRange(1), show_default="the model's", help="Frames of a clip."
)
@click.option("--crop", type=click.IntRange(1), show_default="the model's", help="Input size, px.")
@click.option(
    "--classes", type=click.IntRange(1), default=400, show_default=True, help="Scores of a clip."
)
@JSON
def models(
    names: Sequence[str],
    layers: bool,
    options: Sequence[str],
    stream: str,
    length: int | None,
    crop: int | None,
    classes: int,
    as_json: bool,
) -> None:
    """List the models: papers, costs and receptive fields.

    All of them, or those that are named. What is not in the shipped table is measured.
    """
    from twostream.commands._progress import Bar
    from twostream.inspect.look_up import look_up_all, models_as_plain
    from twostream.inspect.tables import show_layers, show_models
    from twostream.inspect.values import Input

    if layers and as_json:
        raise UserError("layers are printed as a table alone: leave out one of the two", "layers")
    given = Input(stream=stream, length=length, size=crop, classes=classes)
    if layers:
        show_layers(names, options, given)
        return
    with Bar(notes, "measure", "models") as bar:
        entries, failures = look_up_all(names, options, given, bar.progressed)
    if as_json:
        print_json(models_as_plain(entries, failures))
    else:
        show_models(entries, failures, given)
