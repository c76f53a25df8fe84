"""Options that several commands share, as decorators; what one command alone has stands in `cli.py`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Any], Any]

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which the help lists them."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


CACHE = click.option(
    "--cache", type=FOLDER, default=Path("cache"), show_default=True, help="Folder of the cache."
)
RUNS = click.option(
    "--runs", type=FOLDER, default=Path("runs"), show_default=True, help="Folder of all runs."
)
STREAM = click.option("--stream", type=click.Choice(["spatial", "temporal"]), required=True)
CLIPS = click.option(
    "--clips",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Evenly spaced clips of each video, whose logits are averaged.",
)
CROPS = click.option(
    "--crops",
    type=click.Choice(["1", "10"]),
    default="1",
    show_default=True,
    help="Centre crop, or four corners and the centre, each also mirrored.",
)
WORKERS = click.option(
    "--workers", type=click.IntRange(0), default=2, show_default=True, help="Loading processes."
)
ON = click.option(
    "--on",
    type=click.Choice(["softmax", "logits"]),
    default="softmax",
    show_default=True,
    help="What is averaged.",
)
SHARES = click.option(
    "--weights",
    multiple=True,
    default=["0.5"],
    show_default=True,
    metavar="SHARE | NAME=W NAME=W",
    help="The temporal stream's share, or a weight for each stream.",
)


def of_model(default: str) -> Decorator:
    """`--model` and its options."""
    return together(
        click.option(
            "--model", default=default, show_default=True, help="A file in twostream/models."
        ),
        click.option(
            "--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the model."
        ),
    )


# How the weights of a network are moved.
SCHEDULE = together(
    click.option("--epochs", type=click.IntRange(1), default=30, show_default=True),
    click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True),
    click.option(
        "--optimizer", type=click.Choice(["adamw", "sgd"]), default="adamw", show_default=True
    ),
    click.option(
        "--learning-rate", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True
    ),
    click.option("--weight-decay", type=click.FloatRange(0), default=0.05, show_default=True),
)

# How clips are cut.
CLIP = together(
    click.option(
        "--length",
        type=click.IntRange(1),
        show_default="the model's, or else 1 spatial, 10 temporal",
        help="Frames of a clip.",
    ),
    click.option("--stride", type=click.IntRange(1), default=1, show_default=True),
    click.option(
        "--crop", type=click.IntRange(1), show_default="the model's", help="Input size, px."
    ),
    click.option(
        "--scales",
        metavar="S,S,…",
        default="",
        help="Crop these shares of the short side, as 1,0.875,0.75.  "
        "[default: the input size as it is]",
    ),
    click.option(
        "--flip/--no-flip", default=True, show_default=True, help="Mirror half of the clips."
    ),
    click.option(
        "--subtract-mean/--no-subtract-mean",
        default=True,
        show_default=True,
        help="From each flow field its mean.",
    ),
)

# Which videos train, choose the best epoch, and test.
SPLIT = together(
    click.option("--train-list", type=FILE, help="Videos to train on, in UCF101's format."),
    click.option("--test-list", type=FILE, help="Videos to test on."),
    click.option("--class-list", type=FILE, help="UCF101's classInd.txt."),
    click.option("--hmdb51", type=FOLDER, help="Folder of HMDB51's split files."),
    click.option(
        "--split-number", type=click.IntRange(1), default=1, show_default=True, help="Of HMDB51."
    ),
    click.option("--groups", type=FILE, help="CSV file `video,group`: a group is never divided."),
    click.option(
        "--test-share",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.3,
        show_default=True,
    ),
    click.option(
        "--validation-share",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.2,
        show_default=True,
    ),
    click.option("--skip-missing", is_flag=True, help="Leave out listed videos that are not here."),
)

# On what a run is computed, and what becomes of an earlier one.
RUN = together(
    WORKERS,
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    click.option(
        "--accelerator", default="auto", show_default=True, help="Lightning's, as the next four."
    ),
    click.option("--devices", default="auto", show_default=True),
    click.option("--num-nodes", type=click.IntRange(1), default=1, show_default=True),
    click.option("--strategy", default="auto", show_default=True),
    click.option("--precision", default="32-true", show_default=True),
    click.option(
        "--resume", is_flag=True, help="Go on with a killed run, with the options it had."
    ),
    click.option("--overwrite", is_flag=True, help="Replace an earlier run."),
)
