"""safetensors: the weights by their names, without a graph. Nothing in such a file can be executed."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch

from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.nets.normalize import Normalized
from twostream.nets.safetensors_file import load_safetensors, save_safetensors
from twostream.runs.spec import KEY, Spec

DESCRIPTION = "safetensors, weights alone"
_PREFIX = "model."  # as in a checkpoint, so that whatever reads one reads the other


def write(model: Normalized, spec: Spec, path: Path) -> None:
    """The network's state, by a checkpoint's names; see `exporting.formats`."""
    state = {_PREFIX + name: value for name, value in model.state_dict().items()}
    save_safetensors(state, {KEY: spec.to_json()}, path)


def read(path: Path, model: Normalized) -> Callable[[Clip], Float32]:
    """A second network with the weights of the file; see `exporting.formats`."""
    second, (tensors, _) = copy.deepcopy(model), load_safetensors(path)
    second.load_state_dict({k.removeprefix(_PREFIX): value for k, value in tensors.items()})

    @torch.inference_mode()
    def logits(clip: Clip) -> Float32:
        found: Float32 = second(*map(torch.from_numpy, clip)).numpy()
        return found

    return logits
