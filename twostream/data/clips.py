"""Clips for training and for testing, as data sets of PyTorch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from flowcache.cache.store import FlowCache
from twostream.data.clip_reader import Clip, ClipReader, require_views
from twostream.data.clip_spec import ClipSpec
from twostream.data.index import Item
from twostream.data.streams import Stream


class Batch(NamedTuple):
    """Clips as they travel to the device, where they become float; see `nets.normalize`.

    clip: uint8, int8 or int16 (B, T, C, H, W).
    mean: float32 (B, T, C), subtracted from each plane, in the stream's units.
    gain: float32 (B, C), the factor of each channel after that.
    label: int64 (B,); −1 where there is none.
    video: int64 (B,), the position of the video among the items.
    """

    clip: Tensor
    mean: Tensor
    gain: Tensor
    label: Tensor
    video: Tensor


def batch_of(clip: Clip, label: int) -> Batch:
    """The clips of a video with its label."""
    values, mean, gain = map(torch.from_numpy, clip)
    count = len(values)
    labels, videos = torch.full((count,), label), torch.zeros(count, dtype=torch.int64)
    return Batch(values, mean, gain, labels, videos)


class TrainClips(Dataset[Batch]):
    """A random clip of each video; what is drawn depends on (seed, visit, video) alone.

    segments: so many clips of each video, one behind the other in the batch; see `ClipReader.random`.
    """

    def __init__(
        self,
        cache: FlowCache,
        items: Sequence[Item],
        stream: Stream,
        spec: ClipSpec,
        seed: int,
        segments: int = 1,
    ) -> None:
        self._reader = ClipReader(cache, stream, spec)
        self._items, self._seed, self._segments = items, seed, segments

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        visit, number = key
        rng = np.random.default_rng([self._seed, visit, number])
        item = self._items[number]
        return batch_of(self._reader.random(item, rng, self._segments), item.label)


class TestClips(Dataset[Batch]):
    """Evenly spaced clips of each video, each seen from 1, 3 or 10 crops, in order of the videos."""

    __test__ = False  # the word is the field's, not the test runner's

    def __init__(
        self,
        cache: FlowCache,
        items: Sequence[Item],
        stream: Stream,
        spec: ClipSpec,
        clips: int,
        crops: int,
    ) -> None:
        """Raises UserError as `clip_reader.require_views` does."""
        require_views(clips, crops)
        self._reader = ClipReader(cache, stream, spec)
        self._items, self._clips, self._crops = items, clips, crops

    def __len__(self) -> int:
        return len(self._items) * self._clips

    def __getitem__(self, number: int) -> Batch:
        video, clip = divmod(number, self._clips)
        item = self._items[video]
        cut = self._reader.even(item, clip, self._clips, self._crops)
        batch = batch_of(cut, item.label)
        return batch._replace(video=torch.full_like(batch.video, video))


def make_loader(
    dataset: Dataset[Batch], batch_size: int, workers: int, sampler: Any = None
) -> DataLoader[Batch]:
    """A loader that joins the views of all its clips into one batch."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=join,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        # Its own, or starting a loader would move the generator that dropout draws from.
        generator=torch.Generator(),
    )


def join(batches: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    return Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
