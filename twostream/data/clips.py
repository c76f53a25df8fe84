"""Clips for training and for testing, read from a cache."""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from flowcache.cache.entry import Entry
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream.data.clip_spec import ClipSpec, Crops
from twostream.data.colour import ColourJitter
from twostream.data.crop_and_flip import View, apply_view, fixed_views, random_view
from twostream.data.index import Item
from twostream.data.sampling import Indices, Times, even_clips, random_clips
from twostream.data.streams import Integers, Stream

_OPEN_ENTRIES = 64

ChooseViews = Callable[[int, int], Sequence[View]]


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


class ClipReader:
    """Reads clips of one stream; keeps a few entries open, in each process its own."""

    def __init__(self, cache: FlowCache, stream: Stream, spec: ClipSpec) -> None:
        self._cache, self._stream, self._spec = cache, stream, spec
        self._open: OrderedDict[str, Entry] = OrderedDict()
        self._owner = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def read(
        self,
        item: Item,
        indices: Indices,
        choose: ChooseViews,
        change: Callable[[Integers], Integers] | None = None,
    ) -> Batch:
        """One clip, seen from each of the views that are chosen for its height and width.

        change: of the values of the whole clip (T, C, H, W), before it is cut.
        """
        entry, stream, spec = self._entry(item.id), self._stream, self._spec
        numbers = indices.tolist()
        clip = stream.read(entry, numbers)
        if stream.is_displacement and spec.subtract_mean:
            mean = entry.flow_means[numbers]  # of whole fields, so it comes before any crop
        else:
            mean = np.zeros((len(numbers), stream.channels), np.float32)
        views = choose(*clip.shape[2:])
        if change is not None:
            clip = change(clip)
        seen = [apply_view(clip, view, spec.crop, stream) for view in views]
        clips, gains = zip(*seen, strict=True)
        return Batch(
            torch.from_numpy(np.stack(clips)),
            torch.from_numpy(np.stack([mean] * len(clips))),
            torch.from_numpy(np.stack(gains)),
            torch.full((len(clips),), item.label),
            torch.zeros(len(clips), dtype=torch.int64),
        )

    def random(self, item: Item, rng: np.random.Generator, segments: int = 1) -> Batch:
        """One clip for training: its start, its crop, its mirroring and its colours are drawn at random.

        segments: a clip from each of so many equal parts of the video, all cropped and changed alike
            (Wang et al. 2016, "Temporal Segment Networks", section 3.1).
        """
        spec, stream = self._spec, self._stream
        starts = random_clips(*self._timing(item), segments, rng)
        change = None
        if spec.colour:
            jitter = ColourJitter.drawn(spec.colour, np.random.default_rng(rng.integers(2**63)))
            change = jitter if stream.is_colour else None
        stored = self._entry(item.id).info
        view = random_view(stored.height, stored.width, spec, rng)
        return join([self.read(item, indices, lambda h, w: [view], change) for indices in starts])

    def even(self, item: Item, number: int, clips: int, crops: int) -> Batch:
        """One of several evenly spaced clips for testing, seen from 1, 3 or 10 crops."""
        indices = even_clips(*self._timing(item), clips)[number]
        return self.read(item, indices, lambda h, w: fixed_views(h, w, self._spec, crops))

    def _timing(self, item: Item) -> tuple[Times, int, float]:
        """What `data.sampling` needs: when frames are, how many make a clip, how far apart they are."""
        spec, available = self._spec, self._stream.available(item)
        if spec.fps:
            return self._entry(item.id).times[:available], spec.length, 1 / spec.fps
        return np.arange(available), spec.length, spec.stride or 1

    def _entry(self, identifier: str) -> Entry:
        if self._owner != os.getpid():  # a forked child must not use its parent's open files
            self._open, self._owner = OrderedDict(), os.getpid()
        if identifier not in self._open:
            self._open[identifier] = self._cache.entry(identifier)
        self._open.move_to_end(identifier)
        if len(self._open) > _OPEN_ENTRIES:
            self._open.popitem(last=False)[1].close()
        return self._open[identifier]


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
        return self._reader.random(self._items[number], rng, self._segments)


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
        """Raises UserError for fewer clips than one, and for crops other than 1, 3 and 10."""
        if clips < 1:
            raise UserError(f"{clips} clips of each video are too few: use 1 or more", "clips")
        if crops not in get_args(Crops):
            raise UserError(f"there is no way to take {crops} crops: use 1, 3 or 10", "crops")
        self._reader = ClipReader(cache, stream, spec)
        self._items, self._clips, self._crops = items, clips, crops

    def __len__(self) -> int:
        return len(self._items) * self._clips

    def __getitem__(self, number: int) -> Batch:
        video, clip = divmod(number, self._clips)
        batch = self._reader.even(self._items[video], clip, self._clips, self._crops)
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
