"""The options of Farnebäck's method, for a processor and for a device."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """What Farnebäck's method can be told; the defaults are those of OpenCV's class.

    pyr_scale: size of each pyramid level relative to the one before it.
    levels: pyramid levels beside the original.
    winsize: side of the averaging window, in pixels; larger is smoother and catches faster motion.
    iterations: refinements per level.
    poly_n, poly_sigma: neighbourhood (5 or 7) and Gaussian width of the polynomial expansion.
    gaussian: weight the window by a Gaussian instead of a box.
    """

    pyr_scale: float = 0.5
    levels: int = 5
    winsize: int = 13
    iterations: int = 10
    poly_n: int = 5
    poly_sigma: float = 1.1
    gaussian: bool = False
