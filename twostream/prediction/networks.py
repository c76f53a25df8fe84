"""Trained networks as prediction sees them, whatever library computes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.data.clip_reader import Clip, ClipReader, join_clips, require_views
from twostream.data.index import Item
from twostream.runs import files
from twostream.runs.spec import Spec
from twostream.runs.training_options import Average
from twostream.scoring.clip_average import ClipAverage

if TYPE_CHECKING:
    from torch import nn

BATCH = 16
"""Clips, times crops, that go through a network at once."""


class Network(Protocol):
    """A trained network: clips as they are stored → logits."""

    @property
    def spec(self) -> Spec:
        """What it was trained on, and how its clips are cut."""
        ...

    def logits(self, clip: Clip) -> Float32:
        """Of each of B clips: (B, K)."""
        ...


def load_network(path: Path, network: "nn.Module | None" = None) -> Network:
    """The network of a run's folder, or of a file: a checkpoint, or what `twostream export` wrote.

    network: a user's own, which gets the trained weights. Raises UserError where there is none to read,
    and for a `.pt2`, which could hold code.
    """
    ending = "" if path.is_dir() else path.suffix
    if ending == ".pt2":
        raise UserError(
            f"{path} is not read, because PyTorch's reader of such files runs code that they may hold: "
            "name the run's folder, or export it as .onnx or .safetensors",
            "run",
        )
    if ending == ".onnx":
        if network is not None:
            raise UserError(
                f"{path} holds its network, and there is no use for one that is passed: leave it out",
                "networks",
            )
        from twostream.prediction.onnx_network import OnnxNetwork

        return OnnxNetwork.load(path)
    try:
        from twostream.prediction.torch_network import TorchNetwork
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path} needs PyTorch, and {error.name} is not installed: install it, or export the network "
            "as .onnx where it is",
            "run",
        ) from None
    is_file = path.is_file() or ending == ".safetensors"
    return TorchNetwork.load(path if is_file else path / files.BEST, network)


def logits_of_video(
    network: Network, reader: ClipReader, item: Item, *, clips: int, crops: int, average: Average
) -> Float32:
    """The mean over evenly spaced clips of a video and their crops, (1, K), as `evaluate` has it.

    Raises UserError for numbers of clips or crops that cannot be.
    """
    require_views(clips, crops)
    mean = ClipAverage(1, average)
    for numbers in _batches(clips, max(1, BATCH // crops)):
        cut = join_clips([reader.even(item, number, clips, crops) for number in numbers])
        mean.add(network.logits(cut), np.zeros(len(cut.values), np.int64))
    return mean.result()


def _batches(count: int, size: int) -> Sequence[range]:
    return [range(first, min(first + size, count)) for first in range(0, count, size)]
