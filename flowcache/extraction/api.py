"""What a program calls: the flow of frames in memory, a folder of videos extracted, a cache opened."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flowcache import algorithms
from flowcache.cache.recipe import FROM_BOUND, Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError, printable
from flowcache.extraction.many import OnProgress, extract_folder
from flowcache.extraction.one import Decoder, one_opencv_thread
from flowcache.extraction.outcome import Outcome, Summary
from flowcache.extraction.videos import find_videos
from flowcache.types import FlowAlgorithm, FlowStack, Frames, UInt8
from flowcache.video.decode import Video
from flowcache.workers.device_client import flow_at_step
from flowcache.workers.device_pool import UnusableDeviceError
from flowcache.workers.devices import Choice, choose


def optical_flow(
    frames: Frames | UInt8,
    algorithm: str | FlowAlgorithm = "tvl1",
    *,
    device: str = "auto",
    backend: str = "auto",
    frame_step: int = 1,
    **options: Any,
) -> FlowStack:
    """The flow from each frame t to t + frame_step.

    Args:
        frames: RGB, uint8 (T, H, W, 3), or gray, uint8 (T, H, W), or `Frames`.
        algorithm: a name, with its options, or an algorithm of one's own; see `FlowAlgorithm`.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto": a GPU where there is one for the algorithm.
        backend: which of the algorithm's implementations; "auto" takes the fastest for the device.
        frame_step: how many frames lie between the two that are compared.
        options: of the algorithm, as `profile="fast"`; `lambda_` stands for λ.

    Returns:
        T − frame_step fields, float32 (T − frame_step, 2, H, W), pixels, x right and y down. Fewer
        frames give an empty stack.

    Raises:
        UserError: for a name, option, backend or device that there is not.
        ValueError: for frames of another type or shape.
    """
    gray = _gray(frames)
    count = max(len(gray) - frame_step, 0)
    if frame_step < 1:
        raise ValueError(f"a frame step of {frame_step} is no step: use 1 or more")
    if not isinstance(algorithm, str):
        _refuse_for_own(options, device, backend)
        made: Any = algorithm
    else:
        options = {name.removesuffix("_"): value for name, value in options.items()}
        choice = choose(algorithm, options, device, backend)
        made = algorithms.create(algorithm, choice.backend, **options)
        if choice.devices:
            made = _on_device(made, choice.devices[0])
    if not count:
        return FlowStack(np.zeros((0, 2, *gray.shape[1:]), np.float32))
    with one_opencv_thread():
        return flow_at_step(made, gray, frame_step)


def extract(
    videos: str | Path,
    cache: str | Path,
    *,
    algorithm: str | FlowAlgorithm = "tvl1",
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    backend: str = "auto",
    frame_step: int = Recipe.frame_step,
    backward: bool = Recipe.backward,
    size: str | int | tuple[int, int] = Recipe.size,
    bound: float = Recipe.bound,
    quantizer_step: float | None = FROM_BOUND,
    jpeg_quality: int = Recipe.jpeg_quality,
    jobs: int = -1,
    timeout: float = 600.0,
    keep_partial: bool = False,
    joblib_backend: str = "threading",
    scheduler: str | None = None,
    decode: Decoder = Video,
    on_progress: OnProgress | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Compute the flow of every video under a folder once, and keep it in a cache.

    What is done already is kept, so this may be interrupted and called again.

    Args:
        videos: the folder; every video in it, and in the folders below, is taken, also through links.
        cache: the folder of the cache, which is made where it is not there yet.
        algorithm: a name, or an algorithm of one's own, which is then recorded by its module and class.
        options: of the algorithm that is named, as `{"profile": "fast", "lambda": 0.1}`.
        device: "cpu"; "cuda", which is all GPUs; one of them, as "cuda:1"; "mps"; or "auto".
        backend: which of the algorithm's implementations; "auto" goes on as the cache was begun.
        frame_step: flow is from frame t to t + frame_step.
        backward: also keep the flow from frame t + frame_step to t; it takes twice the time and space.
        size: the size at which frames are stored: a short side, never enlarged, "WxH" or "original".
        bound: the largest displacement that is kept, pixels.
        quantizer_step: the distance between stored displacements, pixels; by default bound / 127.
        jpeg_quality: of the RGB frames, 1 to 100.
        jobs: how many videos at once, as joblib counts: −1 is one for each core.
        timeout: seconds without progress after which a video is given up.
        keep_partial: of a video that breaks, keep what decodes, marked as partial.
        joblib_backend: where the videos' processes are started from; "threading" is this process.
        scheduler: the address of a Dask scheduler, whose workers start them instead.
        decode: opens a video; for formats that FFmpeg does not know.
        on_progress: called with (job, fields done, fields expected), by "threading" only.
        on_outcome: called at the end of each video, in the order in which they end.
        on_note: told in words what is about to be done and where, and what happens to the devices.

    Returns:
        What became of each video. A video that fails is named there and in `failures.csv` of the cache.

    Raises:
        UserError: where nothing can be extracted at all, with what to do about it.
        NoSpaceError: where the device of the cache is full; what is done by then stays.
    """
    videos, cache = Path(videos), Path(cache)
    count = len(find_videos(videos).videos)
    if isinstance(algorithm, str):
        if device == "auto" and (scheduler or joblib_backend != "threading"):
            device = "cpu"  # the work is done on other machines
        choice = choose(algorithm, options, device, backend, FlowCache.begun(cache))
    else:
        _refuse_for_own(options, device, backend)
        choice = Choice("cpu")
    recipe = Recipe.of(
        algorithm,
        options,
        backend=choice.backend,
        frame_step=frame_step,
        backward=backward,
        size=size,
        bound=bound,
        quantizer_step=quantizer_step,
        jpeg_quality=jpeg_quality,
    )
    opened = FlowCache.create(cache, recipe)
    on_note(f"{count} videos → {printable(cache)}: {recipe}")
    where = ", ".join(choice.devices) or "the CPU"
    on_note(f"flow on {where}{f', because {choice.reason}' if choice.reason else ''}")
    try:
        return extract_folder(
            videos,
            opened,
            algorithm=None if isinstance(algorithm, str) else algorithm,
            devices=choice.devices,
            jobs=jobs,
            timeout=timeout,
            keep_partial=keep_partial,
            joblib_backend=joblib_backend,
            scheduler=scheduler,
            decode=decode,
            on_progress=on_progress,
            on_outcome=on_outcome,
            on_note=on_note,
        )
    except UnusableDeviceError:  # nothing was begun
        opened.discard_if_empty()
        raise


def open_cache(cache: str | Path) -> FlowCache:
    """An existing cache, a mapping from ids to entries. Raises UserError where there is none."""
    return FlowCache.open(cache)


def _refuse_for_own(options: Mapping[str, Any] | None, device: str, backend: str) -> None:
    """What can be said of an algorithm that is named, and not of one that is made already."""
    if options:
        raise UserError(
            f"{', '.join(options)}: options are for an algorithm that is named; give them to your own "
            "when you make it",
            "options",
        )
    if device not in ("auto", "cpu") or backend != "auto":
        raise UserError(
            "an algorithm of your own runs as it is: leave out device and backend", "device"
        )


def _gray(frames: Frames | UInt8) -> UInt8:
    images = frames.rgb if isinstance(frames, Frames) else np.asarray(frames)
    if images.dtype != np.uint8 or not (
        images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    ):
        raise ValueError(
            "frames must be uint8 (T, H, W, 3), RGB, or (T, H, W), gray, not "
            f"{images.dtype} {images.shape}"
        )
    if images.ndim == 3:
        return images
    gray = [cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY) for rgb in images]
    return np.array(gray, np.uint8).reshape(images.shape[:3])


def _on_device(algorithm: Any, device: str) -> Callable[[UInt8], FlowStack]:
    return lambda gray: algorithm.flow_on(device, gray)
