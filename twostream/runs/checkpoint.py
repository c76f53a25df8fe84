"""A checkpoint rebuilds its own model and names its stream, data recipe and split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.nets.normalize import Normalized
from twostream.nets.pretrained import mean_and_std
from twostream.runs.checkpoint_file import UNREADABLE, read_checkpoint
from twostream.runs.spec import KEY, Spec


def build_network(spec: Spec, network: Any = None) -> Normalized:
    """The network with fresh weights, or the user's own that is given, behind its normalisation.

    UserError for what the model refuses or cannot do, and where a network of a user's own is not given.
    """
    if network is None:
        if "." in spec.model:
            raise UserError(f"the network is a {spec.model} of your own: pass it", "model")
        network = plugins.create(
            models,
            spec.model,
            **spec.options,
            channels=spec.values.channels,
            length=spec.clip.length,
            classes=len(spec.classes),
        )
    expected = mean_and_std(network) if spec.values.is_colour else None
    if spec.pretraining:
        if not hasattr(network, "pretrainer"):
            raise UserError(
                f"{spec.model} has no pretraining of its own: name a model that has", "model"
            )
        network = network.pretrainer()
    return Normalized(network, spec.values.scale(spec.recipe), expected)


def add_spec(checkpoint: dict[str, Any], spec: Spec) -> None:
    """Put the spec into a checkpoint that is about to be written."""
    checkpoint[KEY] = spec.to_plain()


def spec_in(checkpoint: Mapping[str, Any]) -> Spec:
    """The spec that `add_spec` put in; one of `UNREADABLE` where it has none."""
    if KEY not in checkpoint:
        raise ValueError("it does not say of which network it is")
    return Spec.from_plain(checkpoint[KEY])


def load_checkpoint(path: Path, network: Any = None) -> tuple[Normalized, Spec]:
    """The network with its trained weights, in evaluation mode, and its spec.

    path: of a checkpoint, or of what `export` made of one as safetensors. network: a user's own, which
    gets the weights.

    Nothing in the file is executed. UserError where it is missing or no checkpoint of ours.
    """
    try:
        content = read_checkpoint(path)
        spec = spec_in(content)
        model = build_network(spec, network)
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
