"""What in a video spoke for a class: one map a frame or field, on the picture as it is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowcache import plugins
from flowcache.cache.entry import Entry
from flowcache.errors import UserError
from flowcache.types import Float32, Float64, UInt8
from twostream.data.clip_reader import Clip, cut, numbers_of_clips, read_whole, require_views
from twostream.data.crop_and_flip import View, fixed_views
from twostream.explanation import methods
from twostream.explanation.maps import normalise, on_picture
from twostream.explanation.methods import AUTO
from twostream.explanation.seen import pictures, scale_of
from twostream.prediction.networks import Network
from twostream.runs.spec import Spec

Method = Callable[[Network, Clip, int], Float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """What in a video spoke for a class, as one stream saw it.

    T frames (or flow fields), those of all clips that were looked at, in the order of time; H and W are
    those of the video as it is stored.
    """

    spec: Spec
    """Of the network: its stream, classes and clips."""

    label: str
    """The class."""

    probability: float
    """Of the class, by the mean of the clips' logits."""

    method: str
    """One of those in `explanation.methods`."""

    frames: UInt8
    """(T, H, W, 3), RGB: what the stream looked at. Flow is in the colours of `flow_to_color`."""

    map: Float32
    """(T, H, W) in 0..1: 1 is what speaks most for the class in this video. 0 outside `seen`."""

    rgb: UInt8
    """(T, H, W, 3), the frames of the video themselves; where a clip was explained, `frames`."""

    seen: View
    """The part of the picture that the network saw."""

    scale: float
    """The length in pixels that is fully saturated where `frames` are flow."""

    numbers: npt.NDArray[np.int64]
    """(T,), the number of each frame in the video, rising."""

    times: Float64
    """(T,), seconds; where a clip was explained, `numbers`."""

    @property
    def stream(self) -> str:
        """Its name, as "temporal"."""
        return self.spec.stream


def explain(
    network: Network, entry: Entry, *, method: str = AUTO, clips: int = 10, label: str | None = None
) -> Explanation:
    """Explain what a network says of a video.

    entry: of the video, in a cache made by the recipe that the network was trained on.
    method: "auto", or one of those in `explanation.methods`.
    clips: evenly spaced ones, each seen from the centre crop, as for a prediction. What several clips
        show has the mean of their maps.
    label: the class; by default the most probable one.

    Raises UserError for a method or a class that there is not, a network that the method cannot be used
    with, and an entry whose flow is quantised in other steps than the network has learnt.
    """
    require_views(clips, crops=1)
    spec, info = network.spec, entry.info
    stream = spec.values
    spec.require_steps(info.recipe, entry.path, "the network", "entry")
    (view,) = fixed_views(info.height, info.width, spec.clip, 1)
    indices = numbers_of_clips(entry, stream, spec.clip, clips)
    numbers, places = np.unique(indices, return_inverse=True)
    places = places.reshape(indices.shape)
    # What is shown of a frame or field is what the last clip saw that has it.
    size = (stream.channels, info.height, info.width)
    values = np.empty((len(numbers), *size), stream.integers(info.recipe))
    means = np.empty((len(numbers), stream.channels), np.float32)
    several = []
    for clip_numbers, each in zip(indices.tolist(), places, strict=True):
        whole = read_whole(entry, clip_numbers, stream, spec.clip)
        values[each], means[each] = whole
        several.append(cut(*whole, [view], spec.clip.crop, stream))
    number, probability = _answer(network, several, label)
    way, name = _method(network, method)
    total = np.zeros((len(numbers), spec.clip.crop, spec.clip.crop), np.float32)
    for each, clip in zip(places, several, strict=True):
        np.add.at(total, each, way(network, clip, number))
    total /= np.bincount(places.ravel())[:, None, None]
    scale = scale_of(values, means, spec)
    frames = pictures(values, means, spec, scale)
    return Explanation(
        spec=spec,
        label=spec.classes[number],
        probability=probability,
        method=name,
        frames=frames,
        map=on_picture(normalise(total), view, info.height, info.width),
        rgb=frames if stream.is_colour else entry.rgb[numbers.tolist()],
        seen=view,
        scale=scale,
        numbers=numbers,
        times=entry.times[numbers],
    )


def explain_clip(
    network: Network, clip: Clip, *, method: str = AUTO, label: str | None = None
) -> Explanation:
    """Explain what a network says of one clip, (1, T, C, H, W), as it saw it; see `explain`."""
    spec = network.spec
    number, probability = _answer(network, [clip], label)
    way, name = _method(network, method)
    gain = clip.gain[0]  # a mirrored field moves the other way
    values, means = clip.values[0] * gain[:, None, None], clip.mean[0] * gain
    scale = scale_of(values, means, spec)
    frames = pictures(values, means, spec, scale)
    t, height, width, _ = frames.shape
    return Explanation(
        spec=spec,
        label=spec.classes[number],
        probability=probability,
        method=name,
        frames=frames,
        map=normalise(way(network, clip, number)),
        rgb=frames,
        seen=View(0, 0, height, width),
        scale=scale,
        numbers=np.arange(t),
        times=np.arange(t, dtype=np.float64),
    )


def _answer(network: Network, clips: list[Clip], label: str | None) -> tuple[int, float]:
    """The number of the class that is explained, and its probability."""
    of_clips = np.stack([network.logits(clip)[0] for clip in clips]).astype(np.float64)
    logits = of_clips.mean(0)
    classes = network.spec.classes
    if label is not None and label not in classes:
        raise UserError(f"there is no class {label!r}: choose from {', '.join(classes)}", "label")
    number = int(logits.argmax()) if label is None else classes.index(label)
    return number, float(np.exp(logits[number] - np.logaddexp.reduce(logits)))


def _method(network: Network, name: str) -> tuple[Method, str]:
    """A method and its name; see `AUTO`."""
    if name == AUTO:
        name = _best_for(network)
    method: Method = plugins.create(methods, name)
    return method, name


def _best_for(network: Network) -> str:
    layers: Any = getattr(getattr(network, "model", None), "network", None)
    if layers is None:  # an exported network shows none
        return "rise"
    from twostream.explanation.torch_model import has_convolutions, is_transformer

    if is_transformer(layers):
        return "attention_rollout"
    return "hires_cam" if has_convolutions(layers) else "rise"
