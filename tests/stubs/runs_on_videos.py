"""Runs that were trained on videos, so that the videos themselves can be predicted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from made_videos import MJPEG_AVI, moving_scene, write_video

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.extraction.one import Job, extract_video
from twostream import stages
from twostream.runs.training_options import TrainOptions

STREAMS = ("spatial", "temporal")
SPEEDS = {"still": 0.0, "moving": 2.5}


def train_on_videos(
    folder: Path, options: Callable[..., TrainOptions], epochs: int, **clip: Any
) -> FlowCache:
    """`videos/still` and `videos/moving`, their cache, and `runs/spatial` and `runs/temporal`.

    clip: options of the clips, as `subtract_mean=False`, without which all that moves alike seems still.
    """
    recipe = Recipe.of("farneback", {}, size="32", quantizer_step=0.125)
    cache = FlowCache.create(folder / "cache", recipe)
    for name, speed in SPEEDS.items():
        for n in range(4):
            video = folder / "videos" / name / f"{n}.avi"
            write_video(video, moving_scene(7, 48, 64, speed, 0.5 * n, seed=n), MJPEG_AVI)
            extract_video(Job(video, f"{name}/{n}.avi", cache.path(f"{name}/{n}")), recipe)
    for stream in STREAMS:
        plan = options(stream, schedule={"epochs": epochs}, clip=clip)
        stages.train(cache, folder / "runs" / stream, plan)
    return cache
