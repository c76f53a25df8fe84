"""A model by its name, built and measured."""

from collections.abc import Sequence

import torch
from torch import nn

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.data.streams import STREAMS
from twostream.inspect import measure
from twostream.inspect.measure import Build
from twostream.inspect.values import Entry, Input, Layer
from twostream.nets.model_card import Card


def measure_model(name: str, options: Sequence[str], given: Input) -> Entry:
    """Build one model and measure it. UserError where it cannot take such clips.

    options: of the model, each as "NAME=VALUE".
    """
    card = card_of(name)
    macs = {}
    for stream in STREAMS:
        clip = given.clip(card, stream)
        try:
            network = _builder(name, options, stream, given.classes)(clip[0])
            macs[stream] = measure.operations(network, clip)
        except UserError:
            if stream == given.stream:
                raise
    build, clip = _builder(name, options, given.stream, given.classes), given.clip(card)
    field_of_unit, field_of_scores = measure.temporal_field(build, clip)
    return Entry(
        name=name,
        card=card,
        stream=given.stream,
        classes=given.classes,
        clip=clip,
        parameters=measure.parameters(build(clip[0])),
        macs=macs[given.stream],
        field_of_unit=field_of_unit,
        field_of_scores=field_of_scores,
        streams=tuple(macs),
    )


def measure_layers(name: str, options: Sequence[str], given: Input) -> list[Layer]:
    """Build one model and measure its layers. UserError where it cannot take such clips."""
    build = _builder(name, options, given.stream, given.classes)
    return measure.layers(build, given.clip(card_of(name)))


def card_of(name: str) -> Card:
    """What a model's file says of itself. UserError where there is no such model."""
    card: Card = plugins.module(models, name).CARD
    return card


def _builder(name: str, options: Sequence[str], stream: str, classes: int) -> Build:
    chosen = plugins.parse_options(models, name, options)

    def build(length: int) -> nn.Module:
        with torch.device("meta"):
            network: nn.Module = plugins.create(
                models,
                name,
                channels=STREAMS[stream].channels,
                length=length,
                classes=classes,
                **chosen,
            )
        return network

    return build
