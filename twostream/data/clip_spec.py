"""How clips are cut out of videos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from flowcache.errors import UserError
from twostream.option_fields import check, option

FROM_MODEL: Any = None
"""The default of what a model's card says."""

Crops = Literal[1, 3, 10]
"""How many crops of a test clip are taken; see `crop_and_flip.fixed_views`."""


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """How clips are cut; part of a checkpoint."""

    length: int = option(
        FROM_MODEL,
        help="Frames (or flow fields) of a clip.",
        at_least=1,
        shown_default="the model's, or else 1 spatial, 10 temporal or bidirectional, 5 difference",
    )
    stride: int = option(
        FROM_MODEL,
        help="The distance between the frames of a clip.",
        at_least=1,
        shown_default="the model's",
    )
    fps: float = option(
        0.0,
        help="Frames (or flow fields) a second of a clip, by the videos' time stamps, in place of a "
        "stride; 0: by stride.",
        at_least=0,
    )
    crop: int = option(
        FROM_MODEL,
        help="Height and width that the network sees, in pixels.",
        at_least=1,
        shown_default="the model's",
    )
    resize: int = option(
        FROM_MODEL,
        help="The short side of the whole picture, in pixels, where the crop is cut; 0: as stored.",
        at_least=0,
        shown_default="the model's",
    )
    scales: tuple[float, ...] = option(
        (),
        help="In training crop one of these shares of the short side, as 1,0.875,0.75,0.66 (TSN).",
        above=0,
        at_most=1,
        metavar="S,S,…",
    )
    corners: bool = option(
        False, help="In training crop at the four corners and the centre alone, not anywhere (TSN)."
    )
    area: tuple[float, ...] = option(
        (),
        help="In training crop a share of the picture's area between these two, as 0.3,1, of a "
        "proportion between 3:4 and 4:3.",
        above=0,
        at_most=1,
        metavar="LOW,HIGH",
    )
    colour: float = option(
        0.0,
        help="In training change brightness, contrast and saturation by up to this share; frames alone.",
        at_least=0,
        below=1,
    )
    flip: bool = option(True, help="Mirror half of the training clips left to right.")
    subtract_mean: bool = option(
        True, help="Subtract from each flow field its mean displacement (the camera's motion)."
    )

    def __post_init__(self) -> None:
        """Raises UserError for a value outside its limits."""
        for name in ("scales", "area"):
            if isinstance(getattr(self, name), list):  # as JSON and TOML give it
                object.__setattr__(self, name, tuple(getattr(self, name)))
        check(self)
        if self.fps and self.stride is not None:
            raise UserError("a clip has a stride or a frame rate: leave out one of the two", "fps")
        if self.area and (len(self.area) != 2 or self.area[0] > self.area[1]):
            raise UserError(f"the area {self.area} must be a smallest and a largest share", "area")
        if self.area and self.scales:
            raise UserError(
                "a crop is drawn by area or by scales: leave out one of the two", "area"
            )

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `asdict`'s result, also of a checkpoint that calls the crop its size, or has no resize."""
        renamed = {("crop" if name == "size" else name): value for name, value in plain.items()}
        return cls(**{"resize": 0, **renamed})

    def side(self, height: int, width: int) -> int:
        """The side, in stored pixels, of the square of a picture that the network sees at test time."""
        short = min(height, width)
        return min(
            short, max(1, round(short * self.crop / self.resize) if self.resize else self.crop)
        )
