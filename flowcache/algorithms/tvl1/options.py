"""The options and profiles of TV-L1, the same for every backend.

The literature that they come from is named in `cpu.py`.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from flowcache.algorithms import _tvl1_opencv_defaults
from flowcache.algorithms._requirements import require_at_least

SMALLEST_SIDE = 16  # of a pyramid level, pixels; OpenCV's rule
LOCAL_MEAN = 2.0  # σ of what `coarse_texture` takes away, pixels of the level
WIDEST_EDGE = 50.0  # 1/g at most: without a limit, regions would come apart
SMALLEST_GRADIENT = float(np.finfo(np.float32).eps)  # of |∇I₁|²; below it a pixel says nothing

_OPENCV: dict[str, Any] = {
    **_tvl1_opencv_defaults.OPENCV_DEFAULTS,
    "presmoothing": 0.0,
    "coarse_texture": 0.0,
    "five_point_derivative": False,
    "edge_weight": 0.0,
    "exact": True,
}
_ACCURATE = _OPENCV | {
    "nscales": 100,
    "warps": 3,
    "epsilon": 0.0,
    "outer_iterations": 1,
    "presmoothing": 0.5,
    "coarse_texture": 0.95,
    "five_point_derivative": True,
    "edge_weight": 0.03,
    "exact": False,
}
_FAST = _ACCURATE | {"scale_step": 0.75, "warps": 1, "inner_iterations": 20}

PROFILES = {"accurate": _ACCURATE, "fast": _FAST, "opencv": _OPENCV}
FROM_PROFILE: Any = None
"""The default of a parameter: what the profile says."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a duality-based TV-L1 can be told. What is not given is taken from the profile."""

    profile: Literal["accurate", "fast", "opencv"] = "fast"
    """`fast` costs less than Farneback; `accurate` has a fifth less error for three to four times as
    long; `opencv` has the defaults of OpenCV's program, and on the CPU its flow bit for bit."""

    tau: float = FROM_PROFILE
    """Time step of the dual ascent (τ); at most 0.25 is sure to converge."""

    lambda_: float = FROM_PROFILE
    """Weight of the data term (λ), spelled `lambda` where options have names; smaller is smoother."""

    theta: float = FROM_PROFILE
    """Tightness of the coupling between the two half problems (θ)."""

    nscales: int = FROM_PROFILE
    """Pyramid levels at most; no level's side is under 16 pixels."""

    scale_step: float = FROM_PROFILE
    """Size of each pyramid level relative to the one before it."""

    warps: int = FROM_PROFILE
    """Linearisations at each level."""

    epsilon: float = FROM_PROFILE
    """The iterations end when the mean squared update falls under its square; 0 does them all."""

    inner_iterations: int = FROM_PROFILE
    """Iterations between two medians, at most."""

    outer_iterations: int = FROM_PROFILE
    """Medians for each linearisation, at most."""

    median_filtering: int = FROM_PROFILE
    """Side of the median filter: 1 (off), 3 or 5."""

    presmoothing: float = FROM_PROFILE
    """Width σ of a Gaussian over the frames, pixels."""

    coarse_texture: float = FROM_PROFILE
    """Share of the local mean (a Gaussian of σ = 2 pixels) that is taken away from the levels under half
    the frame's size, where a change of light would pass for motion."""

    five_point_derivative: bool = FROM_PROFILE
    """Derivatives (1, −8, 0, 8, −1)/12 instead of (−1, 0, 1)/2."""

    edge_weight: float = FROM_PROFILE
    """α of the weight g = exp(−α |∇I₀|), per gray level; 0 smooths alike everywhere."""

    exact: bool = FROM_PROFILE
    """OpenCV's interpolation and its order of rounding, at half the speed. For the CPU alone."""

    def __post_init__(self) -> None:
        """Fill in the profile's values; ValueError for one that cannot be."""
        if self.profile not in PROFILES:
            raise ValueError(f"profile={self.profile} is none of {', '.join(PROFILES)}")
        for name, value in PROFILES[self.profile].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        _tvl1_opencv_defaults.check(self)
        require_at_least(0, self, "presmoothing", "coarse_texture", "edge_weight")

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """The (height, width) of each level of a frame's pyramid, the frame's own first."""
        sizes = [(height, width)]
        while len(sizes) < self.nscales:
            height, width = (round(self.scale_step * side) for side in sizes[-1])
            if min(height, width) < SMALLEST_SIDE:
                break
            sizes.append((height, width))
        return sizes

    @property
    def derivative(self) -> tuple[float, float]:
        """The weights of I₊₁ − I₋₁ and of I₊₂ − I₋₂ in a derivative."""
        return (8 / 12, -1 / 12) if self.five_point_derivative else (0.5, 0.0)
