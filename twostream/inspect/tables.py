"""The models as a person reads them: what each costs and sees, and its layers side by side."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from flowcache.errors import UserError
from twostream.data.streams import STREAMS
from twostream.inspect.values import Entry, Input, Layer, Shape

_WIDTH_OF_A_FILE = 1000  # what is read by a program is not wrapped


def show_models(entries: Sequence[Entry], failures: Mapping[str, str], given: Input) -> None:
    """Print the tables of what `look_up_all` returns, and why some models are left out."""
    console = _console()
    console.print(figures_table(entries, given))
    console.print(papers_table(entries))
    for name, error in failures.items():
        console.print(f"  left out: {name}: {error}", soft_wrap=True)


def show_layers(names: Sequence[str], options: Sequence[str], given: Input) -> None:
    """Print the layers of these models, side by side if there is room, else one after another.

    UserError where no model is named, or one cannot take such clips.
    """
    # It imports torch, which the table of the models does without.
    from twostream.inspect.measure_models import card_of, measure_layers

    if not names:
        raise UserError(
            "layers are those of a model: name one or more, as in `models c3d`", "layers"
        )
    columns = {}
    for name in names:
        heading = f"{name}\n{_input(given.clip(card_of(name)))}"
        columns[heading] = measure_layers(name, options, given)
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
        unit, scores = entry.field_of_unit, entry.field_of_scores
        table.add_row(
            entry.name,
            _input(entry.clip),
            f"{entry.parameters:,}",
            f"{entry.macs / 1e9:.{2 if entry.macs < 1e10 else 1}f}",
            f"{unit} → {scores}" if unit < scores else f"{scores}",
            _streams(entry),
        )
    return table


def _streams(entry: Entry) -> str:
    missing = [name for name in STREAMS if name not in entry.streams]
    if missing == [name for name, stream in STREAMS.items() if stream.is_displacement]:
        return "no flow"
    if len(missing) == 1:
        return f"not {missing[0]}"  # shorter than the others
    return " ".join(entry.streams) if missing else "all"


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


def _console() -> Console:
    # Titles of papers may hold brackets, which are not markup.
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    return console
