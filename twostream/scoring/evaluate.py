"""Clips → one vector of logits a video."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.data.clips import TestClips, make_loader
from twostream.data.index import Item, VideoIndex, read_index
from twostream.nets.normalize import Normalized
from twostream.runs.spec import Spec
from twostream.runs.training_options import Average
from twostream.scoring.clip_average import ClipAverage
from twostream.scoring.scores import Scores


@torch.inference_mode()
def logits_of_videos(
    model: nn.Module,
    batches: Iterable[object],
    videos: int,
    device: torch.device,
    on_batch: Callable[[int], None] = lambda _: None,
    precision: str = "32-true",
    average: Average = "logits",
) -> Float32:
    """The mean of the logits of all clips and crops of each video, (videos, K); see `ClipAverage`.

    `batches` hold `clip`, `mean`, `gain` and `video`, the number of the video of each clip.
    `on_batch` is given the number of clips after each batch. `precision` is Lightning's word.
    ValueError for a video without a clip.
    """
    half = torch.bfloat16 if "bf16" in precision else torch.float16
    model = model.to(device).eval()
    mean = ClipAverage(videos, average)
    for batch in batches:
        inputs = (part.to(device, non_blocking=True) for part in batch[:3])  # type: ignore[index]
        with torch.autocast(device.type, half, enabled="16" in precision):
            logits = model(*inputs).float().cpu().numpy()
        mean.add(logits, batch.video.numpy())  # type: ignore[attr-defined]
        on_batch(len(logits))
    return mean.result()


def score(
    model: Normalized,
    spec: Spec,
    cache: FlowCache,
    items: Sequence[Item],
    *,
    clips: int,
    crops: int,
    batch_size: int,
    workers: int,
    trained_on: Sequence[str] = (),
    accelerator: str = "auto",
    precision: str = "32-true",
    average: Average = "logits",
    on_clips: Callable[[int], None] = lambda _: None,
) -> Scores:
    """Scores of evenly spaced clips, averaged over each video.

    clips, crops, average: see `Scores`; `scoring.protocols` has those of papers. trained_on: the videos
        that had a part in the training, which the scores name. accelerator, precision: as Lightning names
        them; see `device_of`. on_clips: is given the number of clips (times crops) after each batch.
    """
    device = device_of(accelerator)
    dataset = TestClips(cache, items, spec.values, spec.clip, clips, crops)
    loader = make_loader(dataset, max(1, batch_size // crops), workers)
    # The cache at hand may have another quantiser than the one trained on.
    model.set_scale(spec.values.scale(cache.recipe))
    return Scores(
        name=spec.stream,
        ids=tuple(item.id for item in items),
        logits=logits_of_videos(model, loader, len(items), device, on_clips, precision, average),
        labels=np.array([item.label for item in items], np.int64),
        classes=spec.classes,
        trained_on=tuple(sorted(trained_on)),
        clips=clips,
        crops=crops,
        groups=tuple(item.group for item in items),
        average=average,
    )


def device_of(accelerator: str) -> torch.device:
    """The device that one of Lightning's words means: auto, gpu, cuda, mps or cpu.

    UserError for another word, and where this machine has no such device.
    """
    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    kinds = {"auto": ("cuda", "mps", "cpu"), "gpu": ("cuda", "mps")}.get(
        accelerator, (accelerator,)
    )
    for kind in kinds:
        if here.get(kind):
            return torch.device(kind)
    raise UserError(f"there is no {accelerator} here: use auto or cpu", "accelerator")


def items_of_split(
    cache: FlowCache, spec: Spec, *parts: str, groups: Mapping[str, str]
) -> list[tuple[Item, ...]]:
    """The videos of parts of a checkpoint's split, "test" or "validation", as they lie in a cache.

    groups: of the videos, where they are known; their names tell those of others. UserError where a video
    lacks.
    """
    index = read_index(cache, None, spec.classes)
    items = []
    for part in parts:
        ids: tuple[str, ...] = getattr(spec.split, part)
        require_videos(index, cache, ids, f"{part} videos")
        chosen = index.select(ids)
        items.append(tuple(replace(i, group=groups.get(i.id, i.group)) for i in chosen))
    return items


def require_videos(index: VideoIndex, cache: FlowCache, ids: Sequence[str], what: str) -> None:
    """UserError where a cache lacks one of these videos. what: they are, as "test videos"."""
    here = {item.id for item in index.items}
    if missing := [identifier for identifier in ids if identifier not in here]:
        raise UserError(
            f"{len(missing)} of the {len(ids)} {what} are not in {cache.root}, the first is "
            f"{missing[0]}: name the cache that was trained on",
            "cache",
        )
