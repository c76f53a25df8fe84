"""The size at which frames are stored."""

import re
import sys
from dataclasses import dataclass
from typing import Self

from flowcache.errors import UserError

_ORIGINAL = "original"


@dataclass(frozen=True)
class Resize:
    """The size at which frames are stored."""

    short_side: int = 256
    """The shorter side in pixels, the other in proportion. A smaller video stays as it is."""

    exact: tuple[int, int] | None = None
    """(width, height), whatever the proportions; takes precedence."""

    @classmethod
    def parse(cls, size: str | int | tuple[int, int]) -> Self:
        """`256` or `"256"`, a short side; `(340, 256)` or `"340x256"`, width and height; `"original"`."""
        text = "{}x{}".format(*size) if isinstance(size, tuple | list) else str(size)
        if match := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text):
            return cls(exact=(int(match[1]), int(match[2])))
        if re.fullmatch(r"[1-9]\d*", text):
            return cls(short_side=int(text))
        if text == _ORIGINAL:
            return cls(short_side=sys.maxsize)
        raise UserError(
            f"{text!r} is no size: write a short side (256), WxH (340x256) or original", "size"
        )

    def __str__(self) -> str:
        if self.exact:
            return "{}x{}".format(*self.exact)
        return _ORIGINAL if self.short_side == sys.maxsize else str(self.short_side)

    def of(self, width: int, height: int) -> tuple[int, int]:
        """The stored (width, height) of an upright video of this width and height."""
        if self.exact:
            return self.exact
        scale = min(1.0, self.short_side / min(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))


AS_IT_IS = Resize(short_side=sys.maxsize)
"""Every video keeps its size."""
