"""What a trained network says of itself: all that is needed to build it and to feed it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from twostream.data.clip_spec import ClipSpec
from twostream.data.splits import Split
from twostream.data.streams import STREAMS, Stream

KEY = "twostream"
"""Under which checkpoints and exported files have it."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """All that is needed to build a network and to feed it, beside its weights.

    pretraining: the network is what pretrains the model: it returns a loss and no logits.
    learnt: SHA-256 of the files that had a part in the training or chose the best epoch, also of those
        that the weights had learnt from with which it began; empty where that is not known.
    frame_rates: the lowest and the highest of the videos that trained, Hz; empty where not known.
    """

    stream: str
    model: str
    options: Mapping[str, Any]
    classes: tuple[str, ...]
    clip: ClipSpec
    recipe: Recipe
    split: Split
    pretraining: bool = False
    learnt: tuple[str, ...] = ()
    frame_rates: tuple[float, ...] = ()

    @property
    def values(self) -> Stream:
        """The stream."""
        return STREAMS[self.stream]

    def require_steps(self, recipe: Recipe, where: Path, name: str, parameter: str) -> None:
        """UserError where flow of this recipe is quantised in other steps than the network has learnt.

        where: the flow lies. name: of the network. parameter: whose value is to be another.
        """
        if self.values.scale(recipe) != self.values.scale(self.recipe):
            raise UserError(
                f"{where} holds flow in steps of {recipe.quantizer_step} px, and {name} was trained on "
                f"steps of {self.recipe.quantizer_step} px: name the cache that was trained on",
                parameter,
            )

    def to_plain(self) -> dict[str, Any]:
        """Dictionaries, lists, strings and numbers, as a checkpoint may hold them."""
        return asdict(self) | {"recipe": self.recipe.to_plain()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `to_plain`'s result."""
        return cls(
            stream=plain["stream"],
            model=plain["model"],
            options=plain["options"],
            classes=tuple(plain["classes"]),
            clip=ClipSpec.from_plain(plain["clip"]),
            recipe=Recipe.from_plain(plain["recipe"]),
            split=Split(**{part: tuple(ids) for part, ids in plain["split"].items()}),
            # Absent from older checkpoints.
            pretraining=plain.get("pretraining", False),
            learnt=tuple(plain.get("learnt", ())),
            frame_rates=tuple(plain.get("frame_rates", ())),
        )

    def to_json(self) -> str:
        """As text, for files that hold nothing else beside tensors."""
        return json.dumps(self.to_plain())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From `to_json`'s text. ValueError for any other."""
        try:
            return cls.from_plain(json.loads(text))
        except (LookupError, TypeError, AttributeError, RecursionError, UserError) as error:
            raise ValueError(f"what it says of its network cannot be read ({error})") from None
