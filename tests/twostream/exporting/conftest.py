"""Runs whose networks nobody trained, and what they are exported to."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from flowcache.cache.recipe import Recipe
from twostream.data.clip_spec import ClipSpec
from twostream.data.splits import Split
from twostream.exporting.export import export
from twostream.runs.checkpoint import add_spec, build_network
from twostream.runs.checkpoint_file import write_checkpoint
from twostream.runs.files import BEST, VALIDATION_SCORES
from twostream.runs.spec import Spec

STREAMS = ("spatial", "temporal")
CLASSES = ("calm", "odd", "wild")


@pytest.fixture(scope="session")
def spec() -> Callable[..., Spec]:
    """A description of a small network; `clip` and `recipe` take their changes as dictionaries."""

    def make(stream: str = "temporal", model: str = "tiny", **changes: Any) -> Spec:
        clip = {"length": 1 if stream == "spatial" else 3, "stride": 1, "crop": 24, "resize": 0}
        recipe = {"size": "32", "options": {"profile": "fast"}} | changes.pop("recipe", {})
        values: dict[str, Any] = {
            "options": {"width": 8} if model == "tiny" else {},
            "classes": CLASSES,
            "clip": ClipSpec(**clip | changes.pop("clip", {})),
            "recipe": Recipe.of("tvl1", **recipe),
            "split": Split(train=("calm/1", "wild/1"), validation=("calm/2",), test=("wild/2",)),
            "learnt": ("ab" * 32,),
            "frame_rates": (25.0, 29.97),
        }
        return Spec(stream=stream, model=model, **values | changes)

    return make


@pytest.fixture(scope="session")
def untrained() -> Callable[..., Path]:
    """Write the checkpoint of a network as it was drawn, into a folder that is given back."""

    def write(folder: Path, spec: Spec, network: nn.Module | None = None) -> Path:
        torch.manual_seed(5)
        model = build_network(spec, network)
        for part in model.modules():
            # As after a training; those that a network begins with change nothing.
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.running_mean.normal_(std=0.1)
                part.running_var.uniform_(0.7, 1.4)
        content = {"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}}
        add_spec(content, spec)
        folder.mkdir(parents=True)
        write_checkpoint(content, folder / BEST)
        return folder

    return write


@pytest.fixture(scope="session")
def exported(
    spec: Callable[..., Spec],
    untrained: Callable[..., Path],
    finished_runs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a run of each stream, and what these were exported to; it is only to be read."""
    folder = tmp_path_factory.mktemp("exported")
    for stream in STREAMS:
        run = untrained(folder / stream, spec(stream, classes=("calm", "wild")))
        shutil.copy(finished_runs / stream / VALIDATION_SCORES, run)
        for ending in ("onnx", "safetensors"):
            export(run, folder / f"{stream}.{ending}")
    export(folder / "temporal", folder / "temporal.pt2")
    return folder
