"""The parameters that every TV-L1 here has: their values in OpenCV's program, and their limits."""

from collections.abc import Mapping
from typing import Any

from flowcache.algorithms._requirements import require, require_above, require_at_least

OPENCV_DEFAULTS: Mapping[str, Any] = {
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
}


def check(options: Any) -> None:
    """Raises ValueError for a parameter outside its limits."""
    require_above(0, options, "tau", "lambda_", "theta")
    require_at_least(1, options, "nscales", "warps", "inner_iterations", "outer_iterations")
    require_at_least(0, options, "epsilon")
    require(0 < options.scale_step < 1, "scale_step", "between 0 and 1")
    require(options.median_filtering in (1, 3, 5), "median_filtering", "1, 3 or 5")
