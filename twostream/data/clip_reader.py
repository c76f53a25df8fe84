"""Clips of one stream, read from a cache as they are stored; see `nets.normalize` for what follows."""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from flowcache.cache.entry import Entry
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.data.clip_spec import ClipSpec, Crops
from twostream.data.colour import ColourJitter
from twostream.data.crop_and_flip import View, apply_view, fixed_views, random_view
from twostream.data.index import Item
from twostream.data.sampling import Indices, Times, even_clips, random_clips
from twostream.data.streams import Integers, Stored, Stream

_OPEN_ENTRIES = 64

ChooseViews = Callable[[int, int], Sequence[View]]


class Clip(NamedTuple):
    """Clips of one video, or one clip seen from several crops: B of them, as they are stored."""

    values: Integers
    """uint8, int8 or int16 (B, T, C, H, W)."""

    mean: Float32
    """(B, T, C), subtracted from each plane, in the stream's units."""

    gain: Float32
    """(B, C), the factor of each channel after that."""


def cut(values: Integers, mean: Float32, views: Sequence[View], size: int, stream: Stream) -> Clip:
    """Cut views out of whole pictures (T, C, H, W), each scaled to size × size.

    mean: (T, C), of the whole pictures; it is the same for each view.
    """
    clips, gains = zip(*(apply_view(values, view, size, stream) for view in views), strict=True)
    return Clip(np.stack(clips), np.stack([mean] * len(clips)), np.stack(gains))


def read_whole(
    stored: Stored, numbers: Sequence[int], stream: Stream, spec: ClipSpec
) -> tuple[Integers, Float32]:
    """The frames or fields of one clip, not cut, (T, C, H, W), and what is subtracted of each, (T, C).

    One clip at a time: a stream may read a field by its place in the clip (`bidirectional`).
    """
    values = stream.read(stored, numbers)
    if not spec.subtract_mean:
        return values, np.zeros((len(numbers), stream.channels), np.float32)
    return values, stream.means(stored, numbers)  # of whole fields, so it comes before any crop


def read_clip(
    stored: Stored,
    numbers: Sequence[int],
    stream: Stream,
    spec: ClipSpec,
    choose: ChooseViews,
    change: Callable[[Integers], Integers] | None = None,
) -> Clip:
    """One clip of these frames or fields, seen from each of the views that are chosen for its size.

    change: of the values of the whole clip (T, C, H, W), before it is cut.
    """
    values, mean = read_whole(stored, numbers, stream, spec)
    views = choose(*values.shape[2:])
    if change is not None:
        values = change(values)
    return cut(values, mean, views, spec.crop, stream)


def timing(spec: ClipSpec, available: int, times: Callable[[], Times]) -> tuple[Times, int, float]:
    """What `data.sampling` needs: when frames are, how many make a clip, how far apart they are.

    available: how many frames or fields there are. times: reads the time stamps, seconds.
    """
    if spec.fps:
        return times()[:available], spec.length, 1 / spec.fps
    return np.arange(available), spec.length, spec.stride or 1


def numbers_of_clips(entry: Entry, stream: Stream, spec: ClipSpec, clips: int) -> Indices:
    """The frames, or fields, of an entry that make up evenly spaced clips: (clips, T)."""
    available = stream.available(Item.unlabelled(entry.info.frames, entry.info.fields))
    return even_clips(*timing(spec, available, lambda: entry.times), clips)


def join_clips(clips: Sequence[Clip]) -> Clip:
    """Several as one."""
    return Clip(*(np.concatenate(parts) for parts in zip(*clips, strict=True)))


def require_views(clips: int, crops: int) -> None:
    """UserError for fewer clips of a video than one, and for crops other than 1, 3 and 10."""
    if clips < 1:
        raise UserError(f"{clips} clips of each video are too few: use 1 or more", "clips")
    if crops not in get_args(Crops):
        raise UserError(f"there is no way to take {crops} crops: use 1, 3 or 10", "crops")


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
    ) -> Clip:
        """See `read_clip`."""
        entry = self._entry(item.id)
        return read_clip(entry, indices.tolist(), self._stream, self._spec, choose, change)

    def random(self, item: Item, rng: np.random.Generator, segments: int = 1) -> Clip:
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
        return join_clips(
            [self.read(item, indices, lambda h, w: [view], change) for indices in starts]
        )

    def even(self, item: Item, number: int, clips: int, crops: int) -> Clip:
        """One of several evenly spaced clips for testing, seen from 1, 3 or 10 crops."""
        indices = even_clips(*self._timing(item), clips)[number]
        return self.read(item, indices, lambda h, w: fixed_views(h, w, self._spec, crops))

    def _timing(self, item: Item) -> tuple[Times, int, float]:
        available = self._stream.available(item)
        return timing(self._spec, available, lambda: self._entry(item.id).times)

    def _entry(self, identifier: str) -> Entry:
        if self._owner != os.getpid():  # a forked child must not use its parent's open files
            self._open, self._owner = OrderedDict(), os.getpid()
        if identifier not in self._open:
            self._open[identifier] = self._cache.entry(identifier)
        self._open.move_to_end(identifier)
        if len(self._open) > _OPEN_ENTRIES:
            self._open.popitem(last=False)[1].close()
        return self._open[identifier]
