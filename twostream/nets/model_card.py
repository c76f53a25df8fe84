"""What a model's file says of itself beside its network."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Card:
    """The standard use of a model, as its paper has it.

    paper: authors, title and venue. year: of the paper.
    length: frames of a clip; None where one frame, or the stream's usual clip, is as good.
    size: height and width, px.
    weights: whose published weights fit; empty where nobody's do.
    """

    paper: str
    year: int
    length: int | None = None
    size: int = 224
    weights: str = ""
