"""How fast videos run: a stack of ten fields lasts a sixth of a second at 60 Hz, two thirds at 15 Hz."""

from collections.abc import Sequence

from twostream.data.index import Item
from twostream.runs.spec import Spec

_TOLERANCE = 1.05  # 29.97 Hz are 30, and 24 are 25


def frame_rates_of(items: Sequence[Item]) -> tuple[float, ...]:
    """The lowest and the highest frame rate of videos, Hz; empty where no container states one."""
    rates = [item.frame_rate for item in items if item.frame_rate > 0]
    return (min(rates), max(rates)) if rates else ()


def unlike_rates(spec: Spec, items: Sequence[Item]) -> str:
    """A sentence on the videos that run slower or faster than all that trained; empty where none does.

    Clips that are cut by time, see `ClipSpec.fps`, last equally long at any rate.
    """
    unlike = [item for item in items if is_unlike(spec, item.frame_rate)]
    if not unlike:
        return ""
    lowest, highest = spec.frame_rates
    return (
        f"{len(unlike)} of {len(items)} test videos have another frame rate than those trained on "
        f"({lowest:g} to {highest:g} Hz), the first is {unlike[0].id} ({unlike[0].frame_rate:g} Hz): "
        "their clips last another time"
    )


def is_unlike(spec: Spec, rate: float) -> bool:
    """Whether a video of this frame rate runs slower or faster than all that trained; 0 is not known."""
    if not rate or spec.clip.fps or not spec.frame_rates:
        return False
    lowest, highest = spec.frame_rates
    return not lowest / _TOLERANCE <= rate <= highest * _TOLERANCE
