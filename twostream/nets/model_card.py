"""What a model's file says of itself beside its network."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Card:
    """The standard use of a model, as its paper has it.

    paper: authors, title and venue. year: of the paper.
    length: frames of a clip; None where one frame, or the stream's usual clip, is as good.
    stride: the distance between the frames of a clip.
    size: height and width, px.
    resize: the short side of the picture out of which these are cut, px: by default as
        256 is to 224; 0 where they are cut out of the picture as it is stored.
    weights: whose published weights fit; empty where nobody's do.
    recipes: by stream, the options of a training that are left to the model, as
        {"temporal": {"crop": 112, "segments": 3}}.
    """

    paper: str
    year: int
    length: int | None = None
    stride: int = 1
    size: int = 224
    resize: int | None = None
    weights: str = ""
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def recipe(self, stream: str) -> Mapping[str, Any]:
        """The options of a training on a stream that are left to the model, by name."""
        return self.recipes.get(stream, {})

    def fill(self, clip: Any, stream: str, usual_length: int) -> Any:
        """A `data.clip_spec.ClipSpec` with the model's values for all that is left to the model."""
        length, crop = self.clip(clip.length, clip.crop, stream, usual_length)
        return replace(
            clip,
            length=length,
            stride=None if clip.fps else clip.stride or self.stride,
            crop=crop,
            resize=self._resize(crop) if clip.resize is None else clip.resize,
        )

    def _resize(self, crop: int) -> int:
        """In the proportion of the model's own, where the network sees another size."""
        return round(crop * (256 / 224 if self.resize is None else self.resize / self.size))

    def clip(
        self, length: int | None, size: int | None, stream: str, usual_length: int
    ) -> tuple[int, int]:
        """The length and the size of a clip: those that are given, else the model's.

        usual_length: of the stream's clips, for a model that takes any.
        """
        size = size or self.recipe(stream).get("crop") or self.size
        return length or self.length or usual_length, size


OF_NO_PAPER = Card(paper="", year=0, resize=0)
"""The card of a network of a user's own, and of clips for none in particular."""
