"""Caches made of invented frames and flow, so that every number in them is known."""

import contextlib
import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from flowcache.cache.info import Source
from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.cache.writer import write_entry
from flowcache.types import FlowStack, Frames
from twostream import stages
from twostream.data.clip_spec import ClipSpec
from twostream.data.index import Item, read_index
from twostream.runs.split_of_run import split_cache
from twostream.runs.training_options import Schedule, TrainerOptions, TrainOptions

Add = Callable[..., None]


@pytest.fixture(scope="session", autouse=True)
def _one_thread_each() -> None:
    # The tests run side by side, and their networks are too small to be divided.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """The library with whose networks some of ours are compared; a test is skipped where it is not.

    It is made for one build of torch. Beside another its compiled part does not load, and whatever
    imports it fails, unless the operators that it lacks are declared first. So `make` installs it and
    timm into a folder of their own, which only the tests that need them see, and no child process.
    """
    schemas = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # there already: the builds match
            schemas.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    module = _import_beside("torchvision")
    module.schemas = schemas  # they are gone when the library object is
    return module


@pytest.fixture(scope="session")
def timm(torchvision: ModuleType) -> ModuleType:
    """The library whose networks can be backbones; a test is skipped where it is not installed."""
    return _import_beside("timm")


def _import_beside(name: str) -> ModuleType:
    folder = str(Path(sys.prefix) / "beside")
    sys.path.append(folder)
    try:
        module: ModuleType = pytest.importorskip(name)
    finally:
        sys.path.remove(folder)
    return module


@pytest.fixture(scope="session")
def plain_recipe() -> Callable[..., Recipe]:
    """A recipe whose codes are quarters of a pixel, so that such flow is stored exactly."""

    def make(**changes: Any) -> Recipe:
        values: dict[str, Any] = {
            "algorithm": "farneback",
            "algorithm_version": "invented",
            "options": {},
            "frame_step": 1,
            "size": "256",
            "bound": 20.0,
            "quantizer_step": 0.25,
            "jpeg_quality": 95,
        }
        return Recipe(**values | changes)

    return make


@pytest.fixture(scope="session")
def new_cache(plain_recipe: Callable[..., Recipe]) -> Callable[..., FlowCache]:
    """An empty cache in a folder."""
    return lambda root, **changes: FlowCache.create(root, plain_recipe(**changes))


@pytest.fixture(scope="session")
def add() -> Add:
    """Put a video into a cache: `add(cache, id, frames, flow)`; what is left out is drawn by the id."""

    def write(
        cache: FlowCache,
        identifier: str,
        frames: np.ndarray | None = None,
        flow: np.ndarray | None = None,
        *,
        count: int = 6,
        size: tuple[int, int] = (24, 32),
        sha256: str | None = None,
        partial: str = "",
        rate: int = 25,
    ) -> None:
        rng = np.random.default_rng(list(identifier.encode()))
        if frames is None:
            frames = rng.integers(0, 256, (count, *size, 3)).astype(np.uint8)
        if flow is None:
            fields, components = len(frames) - cache.recipe.frame_step, cache.recipe.components
            shape = (fields, components, *frames.shape[1:3])
            flow = rng.integers(-40, 41, shape) * 0.25
        source = Source(
            name=f"{identifier}.avi",
            size_bytes=1,
            sha256=sha256 or hashlib.sha256(identifier.encode()).hexdigest(),
            modified_ns=0,
        )
        with write_entry(cache.path(identifier), cache.recipe) as writer:
            writer.add_frames(Frames(frames, np.arange(len(frames)) / rate))
            encode = cache.recipe.quantizer.encode
            directions = np.split(flow.astype(np.float32), cache.recipe.components // 2, axis=1)
            codes, saturated = zip(*(encode(FlowStack(each)) for each in directions), strict=True)
            writer.add_codes(np.concatenate(codes, axis=1), sum(saturated))
            height, width = frames.shape[1:3]
            writer.finish(source, (width, height), rate, partial)

    return write


def toy_video(
    label: int, rng: np.random.Generator, side: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """Frames that are red (class 0) or blue, flow that spreads (class 0) or contracts up and down."""
    frames = rng.integers(0, 60, (5, side, side, 3)).astype(np.uint8)
    frames[..., 2 * label] += 150
    flow = rng.integers(-2, 3, (4, 2, side, side)) * 0.25
    away = np.where(np.arange(side) < side // 2, -2.0, 2.0)[:, None]
    flow[:, 1] += away if label == 0 else -away
    return frames, flow


@pytest.fixture(scope="session")
def make_toy(new_cache: Callable[..., FlowCache], add: Add) -> Callable[..., FlowCache]:
    """A cache of two classes that a network tells apart at once, five groups of two clips each."""

    def make(
        root: Path, groups: int = 5, clips: int = 2, seed: int = 0, **changes: Any
    ) -> FlowCache:
        cache = new_cache(root, **changes)
        rng = np.random.default_rng(seed)
        for label, name in enumerate(("calm", "wild")):
            for group in range(groups):
                for clip in range(clips):
                    identifier = f"{name}/v_{name}_g{group + 1:02}_c{clip + 1:02}"
                    add(cache, identifier, *toy_video(label, rng))
        return cache

    return make


@pytest.fixture(scope="session")
def toy(make_toy: Callable[..., FlowCache], tmp_path_factory: pytest.TempPathFactory) -> FlowCache:
    """That cache, for tests that only read it."""
    return make_toy(tmp_path_factory.mktemp("toy") / "cache")


@pytest.fixture(scope="session")
def misled(
    make_toy: Callable[..., FlowCache],
    add: Add,
    options: Callable[..., TrainOptions],
    tmp_path_factory: pytest.TempPathFactory,
) -> FlowCache:
    """A cache whose validation videos show the other class: the more is learnt, the higher the loss."""
    root, plan = tmp_path_factory.mktemp("misled") / "cache", options()
    # Which videos are drawn depends on names and digests, and not on what they show.
    cache = make_toy(root)
    _, split = split_cache(cache, plan.split, plan.seed)
    for identifier in split.validation:
        rng = np.random.default_rng(list(identifier.encode()))
        add(cache, identifier, *toy_video(int(identifier.startswith("calm")), rng))
    return cache


@pytest.fixture(scope="session")
def items() -> Callable[[FlowCache], Sequence[Item]]:
    """All videos of a cache."""
    return lambda cache: read_index(cache).items


@pytest.fixture(scope="session")
def options() -> Callable[..., TrainOptions]:
    """A run of seconds; `clip`, `schedule` and `trainer` take their changes as dictionaries."""

    def make(stream: str = "temporal", **changes: Any) -> TrainOptions:
        length = 1 if stream == "spatial" else 3
        clip = {"length": length, "crop": 16, "resize": 0} | changes.pop("clip", {})
        schedule = {"epochs": 3, "learning_rate": 0.01, "batch_size": 4}
        trainer = {"accelerator": "cpu", "devices": 1} | changes.pop("trainer", {})
        values: dict[str, Any] = {
            "stream": stream,
            "model": "tiny",
            "options": {"width": 4},
            "jobs": 0,
            "clips": 2,
            "label_smoothing": 0.0,
        }
        return TrainOptions(
            clip=ClipSpec(**clip),
            schedule=Schedule(**schedule | changes.pop("schedule", {})),
            trainer=TrainerOptions(**trainer),
            **values | changes,
        )

    return make


@pytest.fixture(scope="session")
def finished_runs(
    toy: FlowCache,
    options: Callable[..., TrainOptions],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a finished run of each stream, for tests that only read them."""
    folder = tmp_path_factory.mktemp("runs")
    for stream in ("spatial", "temporal"):
        plan = options(stream, schedule={"epochs": 2})
        stages.train(toy, folder / stream, plan)
    return folder
