"""A video from its start to its end, once, past the networks that see the same frames and flow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError, printable
from flowcache.extraction.one import TooShortError
from flowcache.types import Codes, UInt8
from twostream.prediction.networks import Network
from twostream.timeline.curves import Curve
from twostream.timeline.decoding import Opened, Part, RisingTimes, decode_isolated
from twostream.timeline.options import TimelineOptions
from twostream.timeline.rolling import Rolling

FillOptions = Callable[[float], TimelineOptions]
"""Options with every value, given how many frames a second a video has."""


@dataclass(frozen=True)
class Followed:
    """What came of a video.

    start, end: of its frames, seconds. options: with every value. curves: by the names of the networks.
    partial: why it could not be decoded to its end; empty where it was.
    """

    start: float
    end: float
    options: TimelineOptions
    curves: Mapping[str, Curve]
    partial: str


def follow(
    video: Path,
    recipe: Recipe,
    networks: Mapping[str, Network],
    fill: FillOptions,
    crops: int,
    on_share: Callable[[float], None],
) -> Followed:
    """Decode the video and give each network a clip every hop, while neither frames nor flow are kept.

    on_share: is told how much of the video is done, 0 to 1, as far as its container says so.

    Raises UserError, which names the video, where it breaks before each network has seen a clip, and
    where it is too short.
    """
    follower = _Follower(recipe, networks, fill, crops, on_share)
    partial = ""
    try:
        decode_isolated(
            video,
            recipe,
            with_flow=any(network.spec.values.is_displacement for network in networks.values()),
            on_opened=follower.opened,
            on_part=follower.add_part,
        )
    except UserError as error:
        if not follower.has_clips:
            raise
        partial = str(error)
    if follower.frames <= recipe.frame_step:
        raise UserError(
            f"{printable(video)}: {TooShortError.of(follower.frames, recipe.frame_step)}"
        )
    return follower.finished(partial)


class _Follower:
    """What is known so far of a video that is being decoded."""

    def __init__(
        self,
        recipe: Recipe,
        networks: Mapping[str, Network],
        fill: FillOptions,
        crops: int,
        on_share: Callable[[float], None],
    ) -> None:
        self._networks, self._fill, self._crops, self._on_share = networks, fill, crops, on_share
        needs = [(network.spec.clip, network.spec.values) for network in networks.values()]
        self._rolling = Rolling(needs, recipe)
        self._curves: dict[str, Curve] = {}
        self._start = self._end = 0.0
        self.frames = 0

    @property
    def has_clips(self) -> bool:
        """Whether each network has seen a clip."""
        return bool(self._curves) and all(map(len, self._curves.values()))

    def opened(self, opened: Opened) -> None:
        """The video's rate is known, so it is known how often clips are cut."""
        self._opened, self._times = opened, RisingTimes(opened.rate)
        self._options = self._fill(opened.rate)
        self._curves = {
            name: Curve(network, self._options.hop, self._crops)
            for name, network in self._networks.items()
        }

    def add_part(self, part: Part) -> None:
        """The next frames, with their flow."""
        for rgb, stamp, codes in part:
            self._add(rgb, self._times.of(stamp), codes)
        if expected := self._opened.expected_frames:
            self._on_share(min(1.0, self.frames / expected))

    def _add(self, rgb: UInt8, time: float, codes: Codes | None) -> None:
        if self.frames == 0:
            self._start = time
        self.frames += 1
        self._end = time + 1 / self._opened.rate
        self._rolling.add(rgb, time, codes)
        for curve in self._curves.values():
            curve.follow(self._rolling)

    def finished(self, partial: str) -> Followed:
        """There are no more frames."""
        for curve in self._curves.values():
            curve.finish(self._rolling)
        return Followed(self._start, self._end, self._options, self._curves, partial)
