"""What a run is told where its user leaves it to the model."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.data.streams import STREAMS
from twostream.nets.model_card import OF_NO_PAPER, Card
from twostream.nets.pretrained import installed_weights
from twostream.option_fields import from_flat, to_flat
from twostream.runs.files import RECORD
from twostream.runs.run_json import recorded
from twostream.runs.training_options import Options, RunOptions, TrainOptions

# A recipe has these because the network starts from weights.
_FOR_WEIGHTS = ("body_rate", "steps")


def card_of(options: RunOptions) -> Card:
    """The card of the model; that of no paper for a network of a user's own, whose name has a dot."""
    own = "." in options.model
    card: Card = OF_NO_PAPER if own else plugins.module(models, options.model).CARD
    return card


def standard(options: Options) -> Options:
    """The options of a run with the model's own for all that is left to it; see `Card.recipes`.

    A network that starts at random is not taught by what suits one that starts from weights: all its
    layers learn, for the usual number of steps. UserError where there is no such model.
    """
    recipe = dict(card_of(options).recipe(options.stream))
    open_ones = [n for n in _FOR_WEIGHTS if n in recipe and getattr(options.schedule, n) is None]
    if open_ones and not starts_from_weights(options):
        for name in open_ones:
            del recipe[name]
    clip = {
        each.name: recipe[each.name]
        for each in fields(options.clip)
        if each.name in recipe and getattr(options.clip, each.name) is None
    }
    return replace(
        options, schedule=options.schedule.filled(recipe), clip=replace(options.clip, **clip)
    )


def complete(options: Options, resumed: Path | None) -> Options:
    """The options with nothing left to the model; see `standard`.

    resumed: the folder of a run that is resumed; None for a new one. What the model filled in when that
    run began is kept, so weights that were installed since do not change its schedule.
    """
    if resumed is None or not (resumed / RECORD).exists():
        return standard(options)
    had = to_flat(recorded(type(options), resumed))
    told = {name: value for name, value in to_flat(options).items() if value is not None}
    return from_flat(type(options), had | told)


def filled_in(asked: RunOptions, options: RunOptions) -> list[str]:
    """The names of the options that were left to the model, and that `complete` filled in."""
    before = to_flat(asked)
    return [name for name, value in to_flat(options).items() if value != before[name]]


def starts_from_weights(options: RunOptions) -> bool:
    """Whether the network starts from weights. UserError where the model refuses its options."""
    init = options.init if isinstance(options, TrainOptions) else "none"
    if init != "auto" or "." in options.model:
        return init not in ("auto", "none")
    values = STREAMS[options.stream]
    length, _ = card_of(options).clip(options.clip.length, None, options.stream, values.length)
    with torch.device("meta"):
        network: Any = plugins.create(
            models,
            options.model,
            **options.options,
            channels=values.channels,
            length=length,
            classes=2,
        )
    try:
        installed_weights(network)
    except UserError:
        return False
    return True
