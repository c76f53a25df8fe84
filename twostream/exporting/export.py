"""A run's network → a file for other programs, compared with PyTorch before it is there."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from flowcache import plugins
from flowcache.atomic import atomic_path
from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.exporting import formats
from twostream.exporting.random_clips import random_clip
from twostream.nets.normalize import Normalized
from twostream.runs import files
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.spec import Spec

TOLERANCE = 1e-3
"""By how much a logit may differ; where all of them are below 1, the same share of the largest."""

BATCHES = (1, 2, 3)
"""How many clips are compared at a time."""


@dataclass(frozen=True)
class Difference:
    """How far a file's logits are from PyTorch's, on random clips.

    largest: the largest absolute difference. logits: the largest absolute logit of PyTorch's.
    """

    largest: float
    logits: float

    @property
    def is_small(self) -> bool:
        """Whether the two are one network; False also where any of them is not a number."""
        return self.largest <= TOLERANCE * min(1.0, self.logits)

    def __str__(self) -> str:
        batches = ", ".join(map(str, BATCHES))
        return (
            f"differs from PyTorch by at most {self.largest:.1e}, where the largest logit is "
            f"{self.logits:.3g} (random clips in batches of {batches})"
        )


@dataclass(frozen=True)
class Exported:
    """A file that was written. description: its format, in words."""

    path: Path
    description: str
    spec: Spec
    difference: Difference

    def __str__(self) -> str:
        spec, clip = self.spec, self.spec.clip
        integers = spec.values.integers(spec.recipe)
        megabytes = self.path.stat().st_size / 1e6
        return (
            f"{self.path}: {self.description}, {megabytes:.1f} MB, {integers} (B, {clip.length}, "
            f"{spec.values.channels}, {clip.crop}, {clip.crop}) to logits (B, {len(spec.classes)})"
        )


def export(run: Path, output: Path, network: torch.nn.Module | None = None) -> Exported:
    """Write the network of a run's best epoch in the format that the file's ending names.

    The file is compared with PyTorch on random clips; one that differs is not left. The scores of the
    run's validation videos, on which fusion rules are fitted, are put beside it, where there are any.

    network: a user's own, which gets the trained weights.

    Raises UserError for a run or a format that there is not, for a network that cannot be written so, and
    where the logits differ by more than `TOLERANCE`.
    """
    ending = output.suffix.removeprefix(".")
    if ending not in plugins.names(formats):
        known = ", ".join(f".{name}" for name in plugins.names(formats))
        raise UserError(f"{output} is of no known format: let it end in one of {known}", "output")
    format = plugins.module(formats, ending)
    if run.is_file() and run.suffix in (".onnx", ".pt2"):
        raise UserError(
            f"{run} is exported already, and no other format can be made of it: name the run's folder",
            "run",
        )
    model, spec = load_checkpoint(run if run.is_file() else run / files.BEST, network)
    with atomic_path(output) as temporary:
        format.write(model, spec, temporary)
        difference = compared(model, spec, format.read(temporary, model))
        if not difference.is_small:
            raise UserError(
                f"{output} was not written, because its logits differ from PyTorch's by up to "
                f"{difference.largest:.2g}, where the largest is {difference.logits:.2g}: export "
                f"{spec.model} in another format",
                "output",
            )
    _copy_scores(run, output)
    return Exported(output, format.DESCRIPTION, spec, difference)


@torch.inference_mode()
def compared(model: Normalized, spec: Spec, logits: Callable[[Clip], Float32]) -> Difference:
    """How far a function from clips to logits is from a network in evaluation."""
    rng = np.random.default_rng(0)
    differences, sizes = [], []
    for count in BATCHES:
        clip = random_clip(spec, count, rng)
        expected = model(*map(torch.from_numpy, clip)).numpy()
        differences.append(np.abs(logits(clip) - expected).max())
        sizes.append(np.abs(expected).max())
    return Difference(float(np.max(differences)), float(np.max(sizes)))


def _copy_scores(run: Path, output: Path) -> None:
    """Put the validation scores of a run beside what it was exported to, or take away another's."""
    source, target = (files.path_in_run(path, files.VALIDATION_SCORES) for path in (run, output))
    if not source.is_file():
        target.unlink(missing_ok=True)
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
