"""The options of Farnebäck's method, the same for every backend."""

from dataclasses import dataclass

from flowcache.algorithms._requirements import require, require_at_least


@dataclass(frozen=True, kw_only=True)
class Options:
    """What Farnebäck's method can be told. The defaults are those of OpenCV's class."""

    pyr_scale: float = 0.5
    """Size of each pyramid level relative to the one before it."""

    levels: int = 5
    """Pyramid levels beside the frame's own size."""

    winsize: int = 13
    """Side of the averaging window in pixels. A larger one is smoother and catches faster motion."""

    iterations: int = 10
    """Refinements at each level."""

    poly_n: int = 5
    """Radius of the neighbourhood that the polynomial is fitted to, in pixels; usually 5 or 7."""

    poly_sigma: float = 1.1
    """Width of the Gaussian that weights the neighbourhood, in pixels; 0 is 0.3 times `poly_n`."""

    gaussian: bool = False
    """Weight the averaging window by a Gaussian instead of a box."""

    def __post_init__(self) -> None:
        """Raises ValueError for an option outside its limits."""
        require(0 < self.pyr_scale < 1, "pyr_scale", "between 0 and 1")
        require_at_least(0, self, "levels", "poly_sigma")
        require_at_least(1, self, "winsize", "iterations", "poly_n")
