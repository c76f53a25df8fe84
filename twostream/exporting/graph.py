"""A network as a graph of PyTorch's operators, for any number of clips."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from flowcache.errors import UserError
from twostream.exporting.random_clips import random_clip
from twostream.nets.normalize import Normalized
from twostream.runs.spec import Spec


def graph_of(model: Normalized, spec: Spec) -> ExportedProgram:
    """The graph of (clip, mean, gain) → logits, for clips of the size and the type of the spec.

    UserError where the network does something that PyTorch cannot follow.
    """
    # Of two clips, because a batch of one is taken for one that is always of one.
    clip = map(torch.from_numpy, random_clip(spec, 2, np.random.default_rng(0)))
    any_number = {0: Dim("batch")}
    try:
        with quietly(), torch.no_grad():
            return torch.export.export(model, tuple(clip), dynamic_shapes=(any_number,) * 3)
    except UserError:
        raise
    except Exception as error:  # whatever runs, and whatever PyTorch says of it
        raise UserError(
            f"{spec.model} cannot be made a graph, because PyTorch cannot follow what it does: "
            f"{_reason(str(error))}"
        ) from error


def _reason(message: str) -> str:
    if "specialized it to be a constant" in message:
        return "it counts on one number of clips, as by len(x) in place of x.shape[0]"
    return message.strip().partition("\n")[0]


@contextmanager
def quietly() -> Iterator[None]:
    """Without what PyTorch's exporters say of themselves, such as which libraries they do without."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
