"""A checkpoint rebuilds its own model and names its stream, data recipe and split."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from flowcache import plugins
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from twostream import models
from twostream.data.clip_spec import ClipSpec
from twostream.data.splits import Split
from twostream.data.streams import STREAMS, Stream
from twostream.nets.normalize import Normalized
from twostream.nets.pretrained import mean_and_std
from twostream.runs.checkpoint_file import UNREADABLE, read_checkpoint

_KEY = "twostream"


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

    def build(self, network: Any = None) -> Normalized:
        """The network with fresh weights, or the user's own that is given, behind its normalisation.

        UserError for what the model refuses or cannot do, and for a network of a user's own that is not
        given.
        """
        if network is None:
            if "." in self.model:
                raise UserError(f"the network is a {self.model} of your own: pass it", "model")
            network = plugins.create(
                models,
                self.model,
                **self.options,
                channels=self.values.channels,
                length=self.clip.length,
                classes=len(self.classes),
            )
        expected = mean_and_std(network) if self.values.is_colour else None
        if self.pretraining:
            if not hasattr(network, "pretrainer"):
                raise UserError(
                    f"{self.model} has no pretraining of its own: name a model that has",
                    "model",
                )
            network = network.pretrainer()
        return Normalized(network, self.values.scale(self.recipe), expected)

    def to_plain(self) -> dict[str, Any]:
        """Dictionaries, lists, strings and numbers, as a checkpoint may hold them."""
        return asdict(self)

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


def add_spec(checkpoint: dict[str, Any], spec: Spec) -> None:
    """Put the spec into a checkpoint that is about to be written."""
    checkpoint[_KEY] = spec.to_plain()


def spec_in(checkpoint: Mapping[str, Any]) -> Spec:
    """The spec that `add_spec` put in; one of `UNREADABLE` where it has none."""
    return Spec.from_plain(checkpoint[_KEY])


def load_checkpoint(path: Path, network: Any = None) -> tuple[Normalized, Spec]:
    """The network with its trained weights, in evaluation mode, and its spec.

    network: a user's own, which gets the weights.
    Nothing in the file is executed. UserError where it is missing or no checkpoint of ours.
    """
    try:
        content = read_checkpoint(path)
        spec = spec_in(content)
        model = spec.build(network)
        prefix = "model."
        state = content["state_dict"].items()
        model.load_state_dict({k.removeprefix(prefix): v for k, v in state if k.startswith(prefix)})
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: train that stream first", "run") from None
    except UserError as error:
        raise UserError(f"{path}: {error}", error.parameter) from None
    except UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is no checkpoint of twostream: {reason}") from None
    if spec.pretraining:
        raise UserError(f"{path} is of a pretraining and names no class: train from it as weights")
    return model.eval(), spec


def spec_of_weights(path: Path) -> Spec | None:
    """What a file of weights says of itself; None where it is no checkpoint of ours."""
    try:
        return spec_in(read_checkpoint(path))
    except (*UNREADABLE, UserError):
        return None
