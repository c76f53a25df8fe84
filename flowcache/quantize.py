"""Flow in pixels ↔ bounded signed integers, in which 0 px is code 0."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowcache.errors import UserError
from flowcache.types import Codes, Float32, FlowStack


@dataclass(frozen=True, kw_only=True)
class Quantizer:
    """A uniform mid-tread quantiser: code = round(px / step), px = code × step."""

    bound: float
    """The largest displacement that is kept, in pixels per step. Beyond it a code saturates."""

    step: float
    """The distance between codes, in pixels. Inside the bound no error exceeds step / 2."""

    def __post_init__(self) -> None:
        if not 0 < self.step <= self.bound < np.inf:
            raise UserError(
                f"a quantiser step of {self.step} px and a bound of {self.bound} px leave no code: "
                "the step must be above 0 and at most the bound, which must be finite",
                "quantizer_step",
            )
        if self.levels > np.iinfo(np.int16).max:
            raise UserError(
                f"{self.bound} px in steps of {self.step} px needs more codes than 16 bits hold: "
                "use a smaller bound or a larger step",
                "quantizer_step",
            )

    @property
    def levels(self) -> int:
        """The largest code; its negative is the smallest."""
        # Rounded first: 20 / (20 / 127) falls just short of 127 in floating point.
        return int(np.floor(np.round(self.bound / self.step, 9)))

    @property
    def dtype(self) -> np.dtype[np.signedinteger]:
        """int8 where it holds all codes, int16 otherwise. The most negative value is never used."""
        return np.dtype(np.int8 if self.levels <= np.iinfo(np.int8).max else np.int16)

    def rounded(self, flow: Any) -> Any:
        """Codes as floats that are not limited to `levels` yet. Flow is float32, of NumPy or PyTorch.

        Both multiply in single precision and round halves to even.
        """
        return (flow * float(np.float32(1 / self.step))).round()

    def encode(self, flow: FlowStack) -> tuple[Codes, int]:
        """FlowStack (T, 2, H, W) → codes of that shape, and how many of them saturated.

        Raises ValueError where a displacement is not a number.
        """
        scaled = self.rounded(flow.data)
        # One look at the extremes settles the common case: nothing to clip, and no NaN.
        low, high = (scaled.min(), scaled.max()) if scaled.size else (0.0, 0.0)
        if np.isnan(low) or np.isnan(high):
            raise ValueError("the flow holds values that are not numbers")
        saturated = 0
        if low < -self.levels or high > self.levels:
            saturated = int(np.count_nonzero(np.abs(scaled) > self.levels))
            np.clip(scaled, -self.levels, self.levels, out=scaled)
        return scaled.astype(self.dtype), saturated

    def decode(self, codes: Codes) -> FlowStack:
        """Codes (T, 2, H, W) → FlowStack."""
        return FlowStack(codes * np.float32(self.step))

    def means(self, codes: Codes) -> Float32:
        """The mean displacement of each field as it is stored: codes (T, C, H, W) → (T, C), pixels."""
        means: Float32 = codes.mean((2, 3), np.float64).astype(np.float32) * np.float32(self.step)
        return means
