"""`twostream live`: what is done in front of a camera, in a stream, or in a file at its own pace."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twostream.commands._click_options import POSITIVE, options_of
from twostream.commands._shared import (
    NETWORKS,
    RULE,
    WEIGHTS,
    example,
    notes,
    plugin_option,
    print_lines,
    refuse_fusion_of_one,
)
from twostream.runs.training_options import Average, TrainOptions

if TYPE_CHECKING:
    from twostream.fusion import Weights
    from twostream.live.labels import Label

_SECONDS_BETWEEN_NOTES = 10.0


@click.command(
    epilog=example(
        "twostream live --source 0 --window",
        "twostream live --source rtsp://camera.local/stream --seconds 60 > labels.jsonl",
        "twostream live --source clip.mp4 --algorithm dis",
    )
)
@click.option(
    "--source",
    required=True,
    metavar="NUMBER|URL|FILE",
    help="A camera by its number, a stream by its URL, or a file, which is played at its own pace.",
)
@NETWORKS
@WEIGHTS
@RULE
@click.option(
    "--over",
    type=POSITIVE,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="A label is the average over the clips that ended in so many seconds.",
)
@options_of(TrainOptions, "average")
@click.option(
    "--algorithm",
    show_default="that of the runs",
    help="What computes the flow, as dis, tvl1 or farneback.",
)
@plugin_option("algorithm")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes listed.")
@click.option("--window", is_flag=True, help="Show frames, flow and labels in a window.")
@click.option(
    "--seconds",
    type=POSITIVE,
    show_default="until the source ends, or Ctrl-C",
    help="How long.",
)
@click.pass_context
def live(
    ctx: click.Context,
    /,
    source: str,
    run: Sequence[Path],
    weights: "Weights",
    rule: str,
    over: float,
    average: Average,
    algorithm: str | None,
    options: Sequence[str],
    top: int,
    window: bool,
    seconds: float | None,
) -> None:
    """Name the action while it happens.

    Each label is a line of JSON on standard output: time and number of the newest frame, the best classes
    of each run and of the fusion, the seconds from that frame to its label, and how many frames had to be
    left out so far. Ctrl-C ends it.
    """
    from flowcache import algorithms, plugins
    from flowcache.errors import UserError
    from twostream.live.pipeline import Live
    from twostream.live.recent import RecentPicture
    from twostream.live.setup import labeller_of, note_on_rate
    from twostream.live.source import open_source
    from twostream.live.window import Window
    from twostream.prediction.predict import Predictor

    notes.stderr = True  # standard output is for the program that reads it
    if options and algorithm is None:
        raise UserError("the options are of no algorithm: name one", "algorithm")
    given = plugins.parse_options(algorithms, algorithm, options) if algorithm else {}
    refuse_fusion_of_one(ctx, run)
    predictor = Predictor(run)
    labeller, told = labeller_of(
        predictor,
        seconds=over,
        weights=weights,
        rule=rule,
        average=average,
        algorithm=algorithm,
        options=given,
    )
    opened = open_source(source)
    print_lines([*told, *filter(None, [note_on_rate(predictor, opened)])], notes)
    classes = predictor.classes
    shown = Window(f"twostream: {opened.name}") if window else None
    draw, said = RecentPicture(classes), time.monotonic()
    with Live(opened, labeller, seconds=seconds or 0.0) as labels:
        try:
            for label, latency in labels:
                statistics = labels.statistics
                if shown is None:
                    line = _plain(label, classes, top, latency, statistics.dropped)
                    print(json.dumps(line), flush=True)
                elif shown.is_open:
                    shown.show(draw(label), f"{1000 * latency:.0f} ms")
                else:
                    break
                if time.monotonic() - said >= _SECONDS_BETWEEN_NOTES:
                    said = time.monotonic()
                    notes.print(str(statistics), soft_wrap=True)
            has_ended = seconds is None
        except KeyboardInterrupt:
            has_ended = False
        finally:
            labels.stop()
            notes.print(str(labels.statistics), soft_wrap=True)
    if has_ended and not labels.statistics.labels:
        raise UserError(
            f"{opened.name} ended after {labels.statistics.captured} frames, before there was a clip for "
            "each run to label: name a longer one",
            "source",
        )


def _plain(
    label: "Label", classes: Sequence[str], top: int, latency: float, dropped: int
) -> dict[str, Any]:
    return {
        "time": round(label.time, 4),
        "frame": label.number,
        "labels": {
            name: [
                {"class": classes[number], "probability": round(float(values[number]), 6)}
                for number in (-values).argsort(kind="stable")[:top]
            ]
            for name, values in label.probabilities.items()
        },
        "latency": round(latency, 4),
        "dropped": dropped,
    }
