"""How clips are cut out of videos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from twostream.option_fields import check, option

FROM_MODEL: Any = None
"""The default of what a model's card says."""


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """How clips are cut; part of a checkpoint."""

    length: int = option(
        FROM_MODEL,
        help="Frames (or flow fields) of a clip.",
        at_least=1,
        shown_default="the model's, or else 1 spatial, 10 temporal",
    )
    stride: int = option(1, help="The distance between the frames of a clip.", at_least=1)
    crop: int = option(
        FROM_MODEL,
        help="Height and width that the network sees, in pixels.",
        at_least=1,
        shown_default="the model's",
    )
    scales: tuple[float, ...] = option(
        (),
        help="Crop these shares of the short side, as 1,0.875,0.75; without, the crop as it is.",
        above=0,
        at_most=1,
        metavar="S,S,…",
    )
    flip: bool = option(True, help="Mirror half of the training clips left to right.")
    subtract_mean: bool = option(
        True, help="Subtract from each flow field its mean displacement (the camera's motion)."
    )

    def __post_init__(self) -> None:
        """Raises UserError for a value outside its limits."""
        if isinstance(self.scales, list):  # as JSON and TOML give it
            object.__setattr__(self, "scales", tuple(self.scales))
        check(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `asdict`'s result, also of a checkpoint that still calls the crop its size."""
        renamed = {("crop" if name == "size" else name): value for name, value in plain.items()}
        return cls(**renamed)
