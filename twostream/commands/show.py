"""`twostream show`: a video or a cache entry beside its flow."""

from collections.abc import Sequence
from pathlib import Path

import click

from flowcache.cache.recipe import Recipe
from twostream.commands._click_options import FILE
from twostream.commands._shared import example, notes, plugin_option


@click.command(
    epilog=example("twostream show clip.mp4 -o flow.mp4", "twostream show cache/a/b.h5 -o b.png")
)
@click.argument("source", type=FILE)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The video (.mp4) or picture (.png) to write.",
)
@click.option("--frame", type=int, help="Which field a picture shows; by default a lively one.")
@click.option(
    "--algorithm", default="tvl1", show_default=True, help="What computes a video's flow."
)
@plugin_option("algorithm")
@click.option(
    "--size",
    default=Recipe.size,
    show_default=True,
    metavar="SIDE|WxH",
    help="Size at which a video's flow is computed: a short side, or an exact size.",
)
def show(
    source: Path,
    output: Path,
    frame: int | None,
    algorithm: str,
    options: Sequence[str],
    size: str,
) -> None:
    """Show a video or a cache entry beside its flow.

    The result is a video, or a picture of one field.
    """
    from flowcache import algorithms, plugins
    from flowcache.show.render import show as render
    from twostream.commands._progress import Bar

    given = plugins.parse_options(algorithms, algorithm, options)
    # Nothing is kept, so the flow may be finer and larger than in a cache.
    recipe = Recipe.of(
        algorithm, given, size=size, bound=64.0, quantizer_step=1 / 64, jpeg_quality=95
    )
    with Bar(notes, "flow", "fields") as bar:
        render(source, output, recipe, frame, on_progress=bar.progressed)
    notes.print(f"wrote {output}", soft_wrap=True)
