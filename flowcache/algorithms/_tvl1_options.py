"""The options and profiles of TV-L1, for one processor core and for a device with many.

The literature that they come from is named in `tvl1`.
"""

from dataclasses import dataclass
from typing import Any, Literal

SMALLEST_SIDE = 16  # of a pyramid level, pixels; OpenCV's rule
LOCAL_MEAN = 2.0  # σ of what `coarse_texture` takes away, pixels of the level
WIDEST_EDGE = 50.0  # 1/g at most: without a limit, regions would come apart

_OPENCV: dict[str, Any] = {
    "tau": 0.25,
    "lambda_": 0.15,
    "theta": 0.3,
    "nscales": 5,
    "scale_step": 0.8,
    "warps": 5,
    "epsilon": 0.01,
    "inner_iterations": 30,
    "outer_iterations": 10,
    "median_filtering": 5,
    "presmoothing": 0.0,
    "coarse_texture": 0.0,
    "five_point_derivative": False,
    "edge_weight": 0.0,
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
}
_FAST = _ACCURATE | {"scale_step": 0.75, "warps": 1, "inner_iterations": 20}

PROFILES = {"accurate": _ACCURATE, "fast": _FAST, "opencv": _OPENCV}
FROM_PROFILE: Any = None
"""The default of a parameter: what the profile says."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a duality-based TV-L1 can be told.

    profile: where the values come from that are not given. `accurate` reaches large motion; `opencv`
        has the defaults of OpenCV's program; `fast` takes a fifth of the time of `accurate`.
    tau: time step of the dual ascent (τ); at most 0.25 is sure to converge.
    lambda_: weight of the data term (λ; the option is spelled `lambda`); smaller is smoother.
    theta: tightness of the coupling between the two half problems (θ).
    nscales, scale_step: most pyramid levels, and the size of each relative to the one before it. No
        level's side is under 16 pixels.
    warps: linearisations per level.
    epsilon: the iterations end when the mean squared update falls under its square; 0 does them all.
    inner_iterations, outer_iterations: at most so many iterations between medians, and medians.
    median_filtering: side of the median filter: 1 (off), 3 or 5.
    presmoothing: width σ of a Gaussian over the frames, pixels.
    coarse_texture: share of the local mean (a Gaussian of σ = 2 pixels) that is taken away from the
        levels under half the frame's size, where a change of light would pass for motion.
    five_point_derivative: derivatives (1, −8, 0, 8, −1)/12 instead of (−1, 0, 1)/2.
    edge_weight: α of the weight g = exp(−α |∇I₀|), per gray level; 0 smooths alike everywhere.
    """

    profile: Literal["accurate", "fast", "opencv"] = "accurate"
    tau: float = FROM_PROFILE
    lambda_: float = FROM_PROFILE
    theta: float = FROM_PROFILE
    nscales: int = FROM_PROFILE
    scale_step: float = FROM_PROFILE
    warps: int = FROM_PROFILE
    epsilon: float = FROM_PROFILE
    inner_iterations: int = FROM_PROFILE
    outer_iterations: int = FROM_PROFILE
    median_filtering: int = FROM_PROFILE
    presmoothing: float = FROM_PROFILE
    coarse_texture: float = FROM_PROFILE
    five_point_derivative: bool = FROM_PROFILE
    edge_weight: float = FROM_PROFILE

    def __post_init__(self) -> None:
        """Fill in the profile's values; ValueError for one that cannot be."""
        if self.profile not in PROFILES:
            raise ValueError(f"profile={self.profile} is none of {', '.join(PROFILES)}")
        for name, value in PROFILES[self.profile].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for name in ("tau", "lambda_", "theta"):
            _require(getattr(self, name) > 0, name, "more than 0")
        for name in ("nscales", "warps", "inner_iterations", "outer_iterations"):
            _require(getattr(self, name) >= 1, name, "1 or more")
        for name in ("epsilon", "presmoothing", "coarse_texture", "edge_weight"):
            _require(getattr(self, name) >= 0, name, "0 or more")
        _require(0 < self.scale_step < 1, "scale_step", "between 0 and 1")
        _require(self.median_filtering in (1, 3, 5), "median_filtering", "1, 3 or 5")

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


def _require(condition: bool, name: str, wanted: str) -> None:
    if not condition:
        raise ValueError(f"{name.removesuffix('_')} must be {wanted}")
