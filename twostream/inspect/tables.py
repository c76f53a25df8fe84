"""The models as a person reads them: what each costs and sees, and its layers side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from torch import nn

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.data.streams import STREAMS
from twostream.inspect import measure
from twostream.inspect.measure import Layer, Shape
from twostream.nets.card import Card

_WIDTH_OF_A_FILE = 1000  # what is read by a program is not wrapped


@dataclass(frozen=True, kw_only=True)
class Input:
    """What models are measured on; what is None is each model's own standard."""

    stream: str = "spatial"
    length: int | None = None
    size: int | None = None
    classes: int = 400

    def clip(self, card: Card, stream: str = "") -> Shape:
        """(T, C, H, W) for one model. stream: another than this."""
        values = STREAMS[stream or self.stream]
        length, size = self.length or card.length or values.length, self.size or card.size
        return length, values.channels, size, size


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model as measured: its multiply-accumulates (macs), and the frames that one unit of its last
    map and one score see (field); see `twostream.inspect.measure`.
    """

    name: str
    card: Card
    clip: Shape
    parameters: int
    macs: int
    field: tuple[int, int]
    streams: tuple[str, ...]


def show_models(names: Sequence[str], options: Sequence[str], given: Input) -> None:
    """Print a table of these models, or of all, each built with these options."""
    if options and not names:
        raise UserError(
            "an option belongs to a model: name the model, as in `models c3d`", "options"
        )
    entries, failures = [], []
    for name in names or plugins.names(models):
        try:
            entries.append(look_up(name, options, given))
        except UserError as error:
            if names:
                raise
            failures.append(f"{name}: {error}")
    console = _console()
    console.print(figures_table(entries, given))
    console.print(papers_table(entries))
    for line in failures:
        console.print(f"  left out: {line}", soft_wrap=True)


def show_layers(names: Sequence[str], options: Sequence[str], given: Input) -> None:
    """Print the layers of these models, side by side if there is room, else one after another."""
    if not names:
        raise UserError(
            "layers are those of a model: name one or more, as in `models c3d`", "layers"
        )
    columns = {}
    for name in names:
        clip = given.clip(_card(name))
        heading = f"{name}\n{_input(clip)}"
        columns[heading] = measure.layers(_build(name, options, given.stream, given.classes), clip)
    console = _console()
    together = layers_table(columns)
    unlimited = console.options.update(max_width=_WIDTH_OF_A_FILE)
    if Measurement.get(console, unlimited, together).maximum <= console.width:
        console.print(together)
    else:
        for heading, layers in columns.items():
            console.print(layers_table({heading: layers}))
    console.print(
        f"{given.stream} stream. Outputs are C×T×H×W, of tokens D×N; what one unit of them sees is T×H×W "
        "of the clip.",
        soft_wrap=True,
    )


def look_up(name: str, options: Sequence[str], given: Input) -> Entry:
    """Measure one model. UserError where it cannot take such clips."""
    card = _card(name)
    macs = {}
    for stream in STREAMS:
        clip = given.clip(card, stream)
        try:
            network = _build(name, options, stream, given.classes)(clip[0])
            macs[stream] = measure.operations(network, clip)
        except UserError:
            if stream == given.stream:
                raise
    build, clip = _build(name, options, given.stream, given.classes), given.clip(card)
    return Entry(
        name=name,
        card=card,
        clip=clip,
        parameters=measure.parameters(build(clip[0])),
        macs=macs[given.stream],
        field=measure.temporal_field(build, clip),
        streams=tuple(macs),
    )


def figures_table(entries: Sequence[Entry], given: Input) -> Table:
    """What is measured, one row for each model."""
    table = Table(
        title=f"measured on the {given.stream} stream, {given.classes} classes",
        title_justify="left",
        caption="frames seen by one unit of the last map → by the scores",
        caption_justify="left",
    )
    table.add_column("model")
    for heading in ("input", "parameters", "GMAC", "frames seen"):
        table.add_column(heading, justify="right")
    table.add_column("streams")
    for entry in entries:
        unit, scores = entry.field
        table.add_row(
            entry.name,
            _input(entry.clip),
            f"{entry.parameters:,}",
            f"{entry.macs / 1e9:.{2 if entry.macs < 1e10 else 1}f}",
            f"{unit} → {scores}" if unit < scores else f"{scores}",
            "both" if len(entry.streams) == len(STREAMS) else " ".join(entry.streams),
        )
    return table


def papers_table(entries: Sequence[Entry]) -> Table:
    """What each model's file says of itself: its paper, and whose weights fit."""
    table = Table("model", "year", "paper", "published weights that fit")
    for entry in entries:
        card = entry.card
        table.add_row(entry.name, str(card.year), card.paper, card.weights or "none")
    return table


def layers_table(columns: Mapping[str, Sequence[Layer]]) -> Table:
    """Networks by their headings: what each layer puts out, and how much of the clip one unit sees.

    Layers of one name stand in one row.
    """
    # Three networks fit into 100 columns so.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("layer")
    kinds = {layer.name: layer.kind for layers in columns.values() for layer in layers}
    for heading in columns:
        table.add_column(f"{heading}\noutput", justify="right")
        table.add_column("sees", justify="right")
    rows = [{layer.name: layer for layer in layers} for layers in columns.values()]
    for name in _merged([list(row) for row in rows]):
        cells = []
        for row in rows:
            cells += [_times(row[name].size), _times(row[name].field)] if name in row else ["", ""]
        table.add_row(f"{name} {kinds[name]}", *cells)
    return table


def _merged(lists: Sequence[Sequence[str]]) -> list[str]:
    """All names once: what only one list has stands behind what it follows there."""
    merged: list[str] = []
    for names in lists:
        place = 0
        for name in names:
            if name not in merged:
                merged.insert(place, name)
            place = merged.index(name) + 1
    return merged


def _times(values: Sequence[int]) -> str:
    return "×".join(map(str, values))


def _input(clip: Shape) -> str:
    length, _, height, _ = clip
    return f"{length}×{height}²"


def _card(name: str) -> Card:
    card: Card = plugins.module(models, name).CARD
    return card


def _build(name: str, options: Sequence[str], stream: str, classes: int) -> Callable[[int], Any]:
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


def _console() -> Console:
    # Titles of papers may hold brackets, which are not markup.
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    return console
