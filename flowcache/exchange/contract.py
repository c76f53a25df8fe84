"""What a format of flow in other programs' files has to offer, and how one is found."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from flowcache import plugins
from flowcache.errors import UserError
from flowcache.exchange import formats
from flowcache.types import Float32


@dataclass(frozen=True, kw_only=True)
class Convention:
    """What has to be agreed on, because the files do not say it."""

    bound: float = 20.0
    """The displacement that is white (255) in a picture; minus that is black. Pixels."""

    frame_step: int = 1
    """Flow is from frame t to frame t + frame_step."""

    jpeg_quality: int = 95
    """Of pictures that are written, 1 to 100. OpenCV's default, and so that of denseflow's pictures."""

    def __post_init__(self) -> None:
        if not 0 < self.bound < float("inf"):
            raise UserError(f"a bound of {self.bound} px is none: it must be above 0", "bound")
        if self.frame_step < 1:
            raise UserError(
                f"a frame step of {self.frame_step} is no step: use 1 or more", "frame_step"
            )
        if not 1 <= self.jpeg_quality <= 100:
            raise UserError(
                f"a JPEG quality of {self.jpeg_quality} is not within 1 to 100", "jpeg_quality"
            )


class Format(Protocol):
    """A module in `formats`. Fields are float32 (2, H, W), dx and dy in pixels, NaN where unknown."""

    NEEDS_BOUND: bool
    """Whether the files are pictures, whose values mean nothing without the bound."""

    def video_of(self, path: Path, root: Path) -> str | None:
        """The id of the video to which a file below `root` belongs; None for a file of another kind."""
        ...

    def read(self, files: Sequence[Path], convention: Convention) -> Iterator[Float32]:
        """The fields in the files of one video, in order.

        Raises UserError for files that are damaged, or missing, or not of one size.
        """
        ...

    def write(
        self, place: Path, fields: Iterable[Float32], count: int, convention: Convention
    ) -> None:
        """Write `count` fields, all of one size and none unknown, into the folder or file `place`.

        A format that has a file a video adds its ending to the name. Raises UserError for a field that
        the format cannot hold.
        """
        ...


def names() -> list[str]:
    """The formats that there are, sorted."""
    return plugins.names(formats)


def format_named(name: str) -> Format:
    """One format. Raises UserError for a name that is not there."""
    try:
        return cast(Format, plugins.module(formats, name))
    except UserError as error:
        raise UserError(str(error), "format_name") from None
