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

    def clip(self, length: int | None, size: int | None, usual_length: int) -> tuple[int, int]:
        """The length and the size of a clip: those that are given, else the model's.

        usual_length: of the stream's clips, for a model that takes any.
        """
        return length or self.length or usual_length, size or self.size


OF_NO_PAPER = Card(paper="", year=0)
"""The card of a network of a user's own, and of clips for none in particular."""
