"""The third thread: what the networks say of the newest frames."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flowcache.cache.recipe import Recipe
from flowcache.types import Codes, Float32, UInt8
from twostream.fusion import Fusion
from twostream.live.motion import Moved
from twostream.prediction.networks import Network
from twostream.prediction.predict import Predictor
from twostream.runs.training_options import Average
from twostream.scoring.clip_average import ClipAverage
from twostream.timeline.rolling import Rolling

_LONGEST_GAP = 100
"""Frames. After a longer one, nothing of what was before is left in a clip."""


@dataclass(frozen=True, eq=False)
class Label:
    """What the networks say at one frame."""

    number: int
    """The frame's."""

    time: float
    """Seconds since the first frame."""

    arrived: float
    """The clock's time at which the frame was there to be decoded."""

    probabilities: Mapping[str, Float32]
    """By the name of each run and, where there are several, "fused": float32 (K,)."""

    rgb: UInt8
    """The frame, uint8 (H, W, 3)."""

    codes: Codes | None
    """The flow that ends at it, (2, H, W), in the recipe's steps; None where no network reads flow."""

    recipe: Recipe
    """By which the flow was quantised."""


class Labeller:
    """Keeps the newest frames and flow, and labels them when it is asked to."""

    def __init__(
        self,
        predictor: Predictor,
        recipes: Sequence[Recipe],
        fusion: Fusion | None,
        seconds: float,
        average: Average = "logits",
    ) -> None:
        """predictor: whose networks label. recipes: of the frames and the flow that each is given.

        fusion: None for one network. seconds: a label is the average over the clips that ended in so
        many seconds.
        """
        self._predictor, self._networks, self._fusion = predictor, predictor.networks, fusion
        self._seconds, self._average = seconds, average
        self.recipes = list({recipe.to_json(): recipe for recipe in recipes}.values())
        self._place = [self.recipes.index(recipe) for recipe in recipes]
        self.reads_flow = [
            any(network.spec.values.is_displacement for network in self._reading(place))
            for place in range(len(self.recipes))
        ]
        self._last: Moved | None = None
        self._forget()

    def _reading(self, place: int) -> list[Network]:
        pairs = zip(self._networks, self._place, strict=True)
        return [network for network, its_place in pairs if its_place == place]

    def _forget(self) -> None:
        self._rolling = [
            Rolling([(n.spec.clip, n.spec.values) for n in self._reading(place)], recipe)
            for place, recipe in enumerate(self.recipes)
        ]
        self._logits = deque[tuple[float, list[Float32]]]()

    def add(self, moved: Moved) -> None:
        """The next frame. After a picture of another size everything begins anew.

        In place of frames that were dropped stand the ones nearest to them, with their flow, so that a
        clip lasts as long as those that trained the network, and its motion is as fast.
        """
        last, frame = self._last, moved.frame
        if last and [one.shape for one in last.frame.rgb] != [one.shape for one in frame.rgb]:
            self._forget()
            last = None
        missing = frame.number - last.frame.number - 1 if last else 0
        if last and missing > 0:
            step = (frame.time - last.frame.time) / (missing + 1)
            # The first frames have no flow, so they cannot stand for others.
            nearer_to_last = missing / 2 if last.is_complete(self.reads_flow) else 0
            for gap in range(max(1, missing - _LONGEST_GAP), missing + 1):
                nearest = last if gap <= nearer_to_last else moved
                self._put(nearest, last.frame.time + gap * step)
        self._put(moved, frame.time)
        self._last = moved

    def rehearse(self, moved: Moved) -> None:
        """Let each network see a clip of one frame, so that the first label waits for no loading."""
        for _ in range(2 + max(recipe.frame_step for recipe in self.recipes)):
            self._put(moved, float(len(self._rolling[0])))
        for network, place in zip(self._networks, self._place, strict=True):
            network.logits(self._rolling[place].clip(network.spec.clip, network.spec.values))
        self._forget()

    def _put(self, moved: Moved, time: float) -> None:
        for rolling, rgb, codes in zip(self._rolling, moved.frame.rgb, moved.codes, strict=True):
            rolling.add(rgb, time, codes)

    def label(self) -> Label | None:
        """Of the newest frame; None where there are not yet frames for a clip of each network."""
        if self._last is None:
            return None
        held = [self._rolling[place] for place in self._place]
        specs = [(network.spec.clip, network.spec.values) for network in self._networks]
        if not all(one.holds(*spec) for one, spec in zip(held, specs, strict=True)):
            return None
        logits = [
            network.logits(one.clip(*spec))[0]
            for network, one, spec in zip(self._networks, held, specs, strict=True)
        ]
        frame = self._last.frame
        self._logits.append((frame.time, logits))
        while self._logits[0][0] <= frame.time - self._seconds and len(self._logits) > 1:
            self._logits.popleft()
        flowing = self.reads_flow.index(True) if any(self.reads_flow) else 0
        return Label(
            number=frame.number,
            time=frame.time,
            arrived=frame.arrived,
            probabilities=self._probabilities(),
            rgb=frame.rgb[flowing],
            codes=self._last.codes[flowing],
            recipe=self.recipes[flowing],
        )

    def _probabilities(self) -> dict[str, Float32]:
        means = {}
        for number, name in enumerate(self._predictor.names):
            clips = np.stack([logits[number] for _, logits in self._logits])
            mean = ClipAverage(1, self._average)
            mean.add(clips, np.zeros(len(clips), np.int64))
            means[name] = mean.result()
        scores = self._predictor.scores(["live"], means, self._fusion, 1, 1, self._average)
        return {one.name: one.softmax()[0] for one in scores}
