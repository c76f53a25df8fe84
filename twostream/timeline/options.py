"""How a long video is looked at, and how what is seen becomes segments."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from twostream.data.clip_spec import ClipSpec
from twostream.option_fields import check, option

BY_CLIP: Any = None
"""The default of what follows from how long a clip is."""

_SHORTEST = 0.5  # seconds: of a single frame, say, something has to be made that can be read


@dataclass(frozen=True, kw_only=True)
class TimelineOptions:
    """All times are in seconds. By default they follow from S, the length of the longest clip that one of
    the networks sees, or half a second where that is longer.
    """

    hop: float = option(
        BY_CLIP,
        help="Seconds from one clip of a timeline to the next, and the grid of its segments.",
        at_least=0.01,
        shown_default="half of the longest clip",
    )
    window: float = option(
        BY_CLIP,
        help="Seconds over which the clips of a timeline are averaged.",
        above=0,
        shown_default="twice the longest clip",
    )
    min_length: float = option(
        BY_CLIP,
        help="A segment of a timeline that is shorter, in seconds, is joined to its longer neighbour.",
        at_least=0,
        shown_default="the longest clip",
    )
    threshold: float = option(
        0.0,
        help="Where the best class is less probable than this, a timeline shows none.",
        at_least=0,
        at_most=1,
    )

    def __post_init__(self) -> None:
        """Raises UserError for a value outside its limits."""
        check(self)

    def filled(self, clips: Iterable[ClipSpec], rate: float) -> Self:
        """With every value: what was not given follows from the clips. rate: of the video, Hz."""
        longest = max(_SHORTEST, *(seconds_of(clip, rate) for clip in clips))
        return type(self)(
            hop=longest / 2 if self.hop is None else self.hop,
            window=longest * 2 if self.window is None else self.window,
            min_length=longest if self.min_length is None else self.min_length,
            threshold=self.threshold,
        )


def seconds_of(clip: ClipSpec, rate: float) -> float:
    """How long a clip of a video of this rate, Hz, is: from its first frame to the end of its last."""
    if clip.fps:
        return (clip.length - 1) / clip.fps + 1 / rate
    return ((clip.length - 1) * (clip.stride or 1) + 1) / rate
