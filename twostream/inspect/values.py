"""What is asked of a model and what is measured of it, as values; they are read without torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from twostream.data.streams import STREAMS
from twostream.nets.model_card import Card

Shape = tuple[int, int, int, int]
"""Of a clip: frames T, channels C, height H and width W, as (T, C, H, W)."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """What models are measured on; what is None is each model's own standard.

    stream: "spatial", "temporal", "bidirectional" or "difference". length: frames of a clip.
    size: height and width, px. classes: how many scores a model gives.
    """

    stream: str = "spatial"
    length: int | None = None
    size: int | None = None
    classes: int = 400

    def clip(self, card: Card, stream: str = "") -> Shape:
        """(T, C, H, W) for one model. stream: another than this."""
        values = STREAMS[stream or self.stream]
        length, size = card.clip(self.length, self.size, values.name, values.length)
        return length, values.channels, size, size


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One row of a network.

    name: its path, without the wrappers around it; the whole network is "scores".
    kind: what it is, as conv or linear.
    size: of its output for one clip, C × T × H × W; of tokens D × N.
    field: frames, rows and columns of the clip that reach one unit of it.
    """

    name: str
    kind: str
    size: tuple[int, ...]
    field: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model as measured on one stream; see `twostream.inspect.measure`.

    name, card: the model's, and what its file says of itself.
    stream, classes, clip: what it was measured on; the clip as (T, C, H, W).
    parameters: how many numbers it learns.
    macs: multiply-accumulates of one clip's forward pass.
    field_of_unit, field_of_scores: frames that reach one unit of its last map or tokens, and a score.
    streams: the names of those whose clips it can take.
    """

    name: str
    card: Card
    stream: str
    classes: int
    clip: Shape
    parameters: int
    macs: int
    field_of_unit: int
    field_of_scores: int
    streams: tuple[str, ...]

    def as_plain(self) -> dict[str, Any]:
        """The fields by their names, for JSON; the card is a dictionary too, and tuples are lists."""
        return {**asdict(self), "clip": list(self.clip), "streams": list(self.streams)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `as_plain`'s result. Raises TypeError or KeyError where a field is missing."""
        length, channels, height, width = plain["clip"]
        return cls(
            **{
                **plain,
                "card": Card(**plain["card"]),
                "clip": (length, channels, height, width),
                "streams": tuple(plain["streams"]),
            }
        )
