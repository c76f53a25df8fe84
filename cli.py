"""The `twostream` command: words on the command line → calls. Heavy imports stand in the commands."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from flowcache.cache.recipe import Recipe
from twostream.commands.options import (
    CACHE,
    CLIP,
    CLIPS,
    CROPS,
    FILE,
    FOLDER,
    ON,
    RUN,
    RUNS,
    SCHEDULE,
    SHARES,
    SPLIT,
    STREAM,
    WORKERS,
    of_model,
)


class _Jobs(click.ParamType[int]):
    name = "integer"

    def convert(self, value: Any, *_: Any) -> int:
        """A number of processes as joblib counts them: 0 is none at all."""
        if str(value).lstrip("-").isdigit() and int(value) != 0:
            return int(value)
        raise click.BadParameter(
            f"{value} is no number of processes: 1 or more, or -1 for all cores"
        )


_JOBS = _Jobs()


class _Command(click.Group):
    """Errors that a user can put right are one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        from flowcache.errors import UserError

        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(f"{error}{_flag(self, ctx, error.parameter)}") from error


def _flag(group: click.Group, ctx: click.Context, parameter: str | None) -> str:
    """The option by which the command that runs lets a user set what is at fault, in brackets."""
    command = group.get_command(ctx, ctx.invoked_subcommand or "")
    for option in command.params if command else ():
        if isinstance(option, click.Option) and option.name == parameter:
            return f" ({option.opts[0]})"
    return ""


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="twostream")
def main() -> None:
    r"""Two-stream video recognition: from a folder of videos to fused scores.

    \b
    twostream extract-flow videos/        # videos/<class>/* → cache/
    twostream train --stream spatial      # → runs/spatial/
    twostream train --stream temporal     # → runs/temporal/
    twostream fuse --weights 0.5          # → runs/fused/
    """


@main.command("extract-flow")
@click.argument("videos", type=FOLDER)
@CACHE
@click.option(
    "--algorithm",
    default="tvl1",
    show_default=True,
    help="tvl1, farneback, dis, or OpenCV's own tvl1_opencv.",
)
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the algorithm.")
@click.option(
    "--step",
    "frame_step",
    type=int,
    default=Recipe.frame_step,
    show_default=True,
    help="Frames from t to t + step.",
)
@click.option(
    "--size",
    default=Recipe.size,
    show_default=True,
    metavar="SIDE|WxH",
    help="Short side, never enlarged, or an exact size.",
)
@click.option(
    "--bound", type=float, default=Recipe.bound, show_default=True, help="Largest flow, px."
)
@click.option(
    "--quantizer-step",
    type=float,
    default=Recipe.quantizer_step,
    show_default="bound / 127",
    help="Distance between stored values, px.",
)
@click.option(
    "--jpeg-quality",
    type=int,
    default=Recipe.jpeg_quality,
    show_default=True,
    help="Of the RGB frames.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu; cuda, which is all GPUs; one of them, as cuda:1; or auto: the GPUs, if there are any.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="Which of the algorithm's implementations: cpu, torch or triton; auto: the device's fastest.",
)
@click.option(
    "--jobs", type=_JOBS, default=-1, show_default=True, help="Videos at once; -1: all cores."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds without progress after which a video is given up.",
)
@click.option(
    "--keep-partial", is_flag=True, help="Of a broken video keep what decodes, marked so."
)
@click.option(
    "--scheduler", help="Address of a Dask scheduler, as tcp://host:8786: use its cluster."
)
@click.option(
    "--joblib-backend",
    default="threading",
    show_default=True,
    help="How joblib starts the videos' processes: threading does it from this one.",
)
def extract_flow(
    videos: Path, cache: Path, algorithm: str, options: Sequence[str], **given: Any
) -> None:
    """Compute the optical flow of every video under VIDEOS, once.

    What is done already is kept, so it is safe to stop this and start it again.
    """
    from flowcache import algorithms, plugins
    from twostream.commands.console import run_extraction

    options_of_algorithm = plugins.parse_options(algorithms, algorithm, options)
    if not run_extraction(
        videos, cache, algorithm=algorithm, options=options_of_algorithm, **given
    ):
        sys.exit(1)


@main.group("cache")
def cache_group() -> None:
    """Look into a cache."""


@cache_group.command("info")
@click.argument("cache", type=FOLDER, default=Path("cache"))
def cache_info(cache: Path) -> None:
    """What a cache holds."""
    from twostream.commands.console import show_cache

    if not show_cache(cache):
        sys.exit(1)


@cache_group.command("verify")
@click.argument("cache", type=FOLDER, default=Path("cache"))
@click.option("--jobs", type=_JOBS, default=-1, show_default=True, help="Processes; -1: all cores.")
def cache_verify(cache: Path, jobs: int) -> None:
    """Read all of a cache and check every checksum and count."""
    from twostream.commands.console import verify_cache

    if not verify_cache(cache, jobs):
        sys.exit(1)


@main.command()
@click.argument("source", type=FILE)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--frame", type=int, help="Which field a picture shows; by default the liveliest.")
@click.option("--algorithm", default="tvl1", show_default=True, help="For a video.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the algorithm.")
@click.option(
    "--size", default=Recipe.size, show_default=True, metavar="SIDE|WxH", help="For a video."
)
def show(
    source: Path,
    output: Path,
    frame: int | None,
    algorithm: str,
    options: Sequence[str],
    size: str,
) -> None:
    """Show a video or a cache entry beside its flow, as out.mp4 or out.png."""
    from flowcache import algorithms, plugins
    from twostream.commands.console import run_show

    given = plugins.parse_options(algorithms, algorithm, options)
    # Nothing is kept, so the flow may be finer and larger than in a cache.
    recipe = Recipe.of(
        algorithm, given, size=size, bound=64.0, quantizer_step=1 / 64, jpeg_quality=95
    )
    run_show(source, output, recipe, frame)


@main.command()
@STREAM
@CACHE
@RUNS
@of_model("resnet")
@click.option(
    "--weights", metavar="FILE|published", help="Start from a state dict, or from ImageNet's."
)
@SCHEDULE
@click.option("--label-smoothing", type=click.FloatRange(0, 1), default=0.0, show_default=True)
@click.option("--partial-bn", is_flag=True, help="Freeze all batch norm statistics but the first.")
@CLIP
@SPLIT
@CLIPS
@CROPS
@RUN
@click.pass_context
def train(ctx: click.Context, /, stream: str, cache: Path, runs: Path, **given: Any) -> None:
    """Train one stream, and score its test videos with the best epoch."""
    from twostream.commands.console import run_training

    run_training(stream, cache, runs, given, _explicit(ctx, given))


@main.command()
@STREAM
@CACHE
@RUNS
@of_model("videomae")
@SCHEDULE
@CLIP
@SPLIT
@RUN
@click.pass_context
def pretrain(ctx: click.Context, /, stream: str, cache: Path, runs: Path, **given: Any) -> None:
    """Pretrain one stream without labels, never on its test videos.

    Then train from it: --weights runs/pretrained/STREAM/best.ckpt
    """
    from twostream.commands.console import run_pretraining

    run_pretraining(stream, cache, runs, given, _explicit(ctx, given))


@main.command()
@STREAM
@CACHE
@RUNS
@CLIPS
@CROPS
@WORKERS
def evaluate(**given: Any) -> None:
    """Score a trained stream's test videos again, with other clips or another cache."""
    from twostream.commands.console import run_evaluation

    run_evaluation(**given)


@main.command()
@SHARES
@click.argument("more_weights", nargs=-1, metavar="")
@ON
@RUNS
def fuse(weights: Sequence[str], more_weights: Sequence[str], on: str, runs: Path) -> None:
    """Fuse the streams' scores: --weights 0.5, or --weights spatial=1 temporal=1.5."""
    from twostream.commands.console import run_fusion

    run_fusion(runs, parse_weights([*weights, *more_weights]), on)


@main.command()
@click.argument("words", nargs=-1, required=True, metavar="VIDEO...")
@SHARES
@ON
@RUNS
@CLIPS
@CROPS
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of tables.")
def predict(words: Sequence[str], weights: Sequence[str], **given: Any) -> None:
    """Name the action in new videos, by each stream and by their fusion."""
    from twostream.commands.console import run_prediction

    # `--weights spatial=1 temporal=1.5 VIDEO`: the second weight arrives among the videos.
    more = [w for w in words if "=" in weights[0] and "=" in w and not Path(w).exists()]
    videos = [Path(w) for w in words if w not in more]
    if not run_prediction(videos, weights=parse_weights([*weights, *more]), **given):
        sys.exit(1)


@main.command()
@click.argument("folder", type=FOLDER, default=Path("demo"))
def demo(folder: Path) -> None:
    """Render a small video set and run the four commands on it, in FOLDER."""
    from twostream.commands.console import run_demo

    run_demo(folder, lambda words: main(words, standalone_mode=False))


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--layers", is_flag=True, help="Layer by layer: output sizes and receptive fields.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the models.")
@click.option(
    "--stream",
    type=click.Choice(["spatial", "temporal"]),
    default="spatial",
    show_default=True,
    help="What the models are built for.",
)
@click.option(
    "--length", type=click.IntRange(1), show_default="the model's", help="Frames of a clip."
)
@click.option("--crop", type=click.IntRange(1), show_default="the model's", help="Input size, px.")
@click.option("--classes", type=click.IntRange(1), default=400, show_default=True)
def models(
    names: Sequence[str],
    layers: bool,
    options: Sequence[str],
    stream: str,
    length: int | None,
    crop: int | None,
    classes: int,
) -> None:
    """Show the models, or those named: their papers, costs and receptive fields, as measured."""
    from twostream.inspect.tables import Input, show_layers, show_models

    given = Input(stream=stream, length=length, size=crop, classes=classes)
    (show_layers if layers else show_models)(names, options, given)


def _explicit(ctx: click.Context, names: Iterable[str]) -> set[str]:
    """The options that stand on the command line."""
    said = click.core.ParameterSource.COMMANDLINE
    return {name for name in names if ctx.get_parameter_source(name) is said}


def parse_weights(words: Sequence[str]) -> Mapping[str, float]:
    """`["0.5"]` → the temporal stream's share; `["spatial=1", "temporal=1.5"]` → as it says."""
    try:
        if len(words) == 1 and "=" not in words[0]:
            share = float(words[0])
            if not 0 <= share <= 1:
                raise click.BadParameter(f"{share} is no share: it lies between 0 and 1")
            return {"spatial": 1 - share, "temporal": share}
        pairs = [word.partition("=") for word in words]
        if len({name for name, _, _ in pairs}) < len(pairs):
            raise click.BadParameter(f"{' '.join(words)}: a stream has two weights")
        return {name: float(value) for name, _, value in pairs}
    except ValueError:
        raise click.BadParameter(
            f"{' '.join(words)}: give one share, or NAME=WEIGHT for each stream"
        ) from None


if __name__ == "__main__":
    main()
