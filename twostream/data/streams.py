"""The streams as values: what differs between appearance and motion stands here and only here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flowcache.cache.entry import Items, NoBackwardFlowError
from flowcache.cache.recipe import Recipe
from flowcache.types import Codes, Float32, UInt8
from twostream.data.index import Item

Integers = npt.NDArray[np.integer]


class Stored(Protocol):
    """Frames and fields by their numbers: an `Entry`, or the newest of a video (`timeline.rolling`)."""

    @property
    def rgb(self) -> Items[UInt8, UInt8]:
        """The frames, uint8 (…, H, W, 3)."""
        ...

    @property
    def codes(self) -> Items[Codes, Codes]:
        """The fields as stored, int8 or int16 (…, 2, H, W), or (…, 4, H, W) with those that lead back."""
        ...

    @property
    def flow_means(self) -> Float32:
        """The mean displacement of each field, (fields, 2 or 4), pixels."""
        ...


Components = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
Read = Callable[[Stored, Sequence[int]], Integers]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What a network sees of a video.

    channels: C of a clip (T, C, H, W).
    length: frames of a clip, by default.
    available: how many frames or fields a video has.
    read: frames or fields by number, integers (T, C, H, W).
    mirror: the factor of each channel when the picture is mirrored left to right: dx changes sign.
    is_colour: values are red, green and blue between 0 and 1, which a network wants normalised by its own
        mean and deviation; see `twostream.nets.pretrained`.
    scale: value of one integer step of each channel, given the recipe.
    unit_scale: the same for what is in the units of `Clips`, gray levels or pixels.
    limits: the least and the greatest integer, given the recipe.
    components: of fields as they are stored, or of their means, (T, 2 or 4, …) → those that are seen,
        (T, C, …). None where no flow is read.
    """

    name: str
    channels: int
    length: int
    available: Callable[[Item], int]
    read: Read
    mirror: tuple[int, ...]
    is_colour: bool
    scale: Callable[[Recipe], tuple[float, ...]]
    unit_scale: tuple[float, ...]
    limits: Callable[[Recipe], tuple[int, int]]
    components: Components | None = None

    @property
    def is_displacement(self) -> bool:
        """Whether values are lengths in the picture, so that (dx, dy) grow with it when it is resized."""
        return self.components is not None

    def means(self, stored: Stored, indices: Sequence[int]) -> Float32:
        """What is subtracted of whole frames or fields where their mean is to go, (T, C), pixels."""
        if self.components is None:
            return np.zeros((len(indices), self.channels), np.float32)
        means: Float32 = self.components(stored.flow_means[indices])
        return means

    def integers(self, recipe: Recipe) -> np.dtype[np.integer]:
        """The type of the integers of a clip: uint8, int8 or int16."""
        low, high = self.limits(recipe)
        fits = (np.uint8, np.int8, np.int16)
        return next(np.dtype(t) for t in fits if np.iinfo(t).min <= low and high <= np.iinfo(t).max)


# Named functions, because a stream is pickled into loading processes.
def _read_rgb(stored: Stored, indices: Sequence[int]) -> Integers:
    return np.moveaxis(stored.rgb[indices], 3, 1)


def _read_difference(stored: Stored, indices: Sequence[int]) -> Integers:
    numbers = sorted({*indices, *(index + 1 for index in indices)})
    place = {number: position for position, number in enumerate(numbers)}
    frames = stored.rgb[numbers].astype(np.int16)
    first, second = ([place[index + step] for index in indices] for step in (0, 1))
    return np.moveaxis(frames[second] - frames[first], 3, 1)


def _read_flow(stored: Stored, indices: Sequence[int]) -> Integers:
    return _forward(stored.codes[indices])


def _read_both_ways(stored: Stored, indices: Sequence[int]) -> Integers:
    return _back_and_forward(stored.codes[indices])


def _forward(fields: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return fields[:, :2]


def _back_and_forward(fields: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if fields.shape[1] < 4:
        raise NoBackwardFlowError(
            "the stream `bidirectional` also reads flow backward in time, and there is only flow "
            "forward: extract the videos with `--backward` into another cache"
        )
    middle = len(fields) // 2
    return np.concatenate([fields[:middle, 2:], fields[middle:, :2]])


def _frames(item: Item) -> int:
    return item.frames


def _pairs(item: Item) -> int:
    return item.frames - 1


def _fields(item: Item) -> int:
    return item.fields


def _rgb_scale(_: Recipe) -> tuple[float, ...]:
    return _RGB_SCALE


def _flow_scale(recipe: Recipe) -> tuple[float, ...]:
    return recipe.quantizer_step, recipe.quantizer_step


def _difference_scale(_: Recipe) -> tuple[float, ...]:
    return _DIFFERENCE_SCALE


def _rgb_limits(_: Recipe) -> tuple[int, int]:
    return 0, 255


def _flow_limits(recipe: Recipe) -> tuple[int, int]:
    return -recipe.quantizer.levels, recipe.quantizer.levels


def _difference_limits(_: Recipe) -> tuple[int, int]:
    return -255, 255


_RGB_SCALE = (1 / 255, 1 / 255, 1 / 255)
# As large as frames are for a network that wants them divided by their deviation of about 0.225.
_DIFFERENCE_SCALE = tuple(scale / 0.225 for scale in _RGB_SCALE)

SPATIAL = Stream(
    name="spatial",
    channels=3,
    length=1,
    available=_frames,
    read=_read_rgb,
    mirror=(1, 1, 1),
    is_colour=True,
    scale=_rgb_scale,
    unit_scale=_RGB_SCALE,
    limits=_rgb_limits,
)

TEMPORAL = Stream(
    name="temporal",
    channels=2,
    length=10,
    available=_fields,
    read=_read_flow,
    mirror=(-1, 1),
    is_colour=False,
    scale=_flow_scale,
    unit_scale=(1.0, 1.0),
    limits=_flow_limits,
    components=_forward,
)

# From the frame in the middle of a stack half of its fields lead forward in time and half back
# (Simonyan & Zisserman 2014, "Two-Stream Convolutional Networks", section 3.1, bi-directional flow).
BIDIRECTIONAL = replace(
    TEMPORAL, name="bidirectional", read=_read_both_ways, components=_back_and_forward
)

# Differences of neighbouring frames are a stand-in for motion that needs no flow (Wang et al. 2016,
# "Temporal Segment Networks", section 3.2).
DIFFERENCE = Stream(
    name="difference",
    channels=3,
    length=5,
    available=_pairs,
    read=_read_difference,
    mirror=(1, 1, 1),
    is_colour=False,
    scale=_difference_scale,
    unit_scale=_DIFFERENCE_SCALE,
    limits=_difference_limits,
)

STREAMS = {stream.name: stream for stream in (SPATIAL, TEMPORAL, BIDIRECTIONAL, DIFFERENCE)}
