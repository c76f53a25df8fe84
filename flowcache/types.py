"""The values that pass between the stages of `flowcache`: frames, flow, and what computes flow.

Conventions that hold everywhere: x points right and y points down; a displacement is in pixels per
step, from frame t to frame t + step, so the point at (x, y) in frame t is found at (x + dx, y + dy)
in frame t + step; time is in seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Codes = npt.NDArray[np.signedinteger]


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


@dataclass(frozen=True, eq=False)
class Frames:
    """Consecutive video frames.

    rgb: uint8 (T, H, W, 3), RGB, upright.
    times: float64 (T,), seconds from the start of the container's clock.
    """

    rgb: UInt8
    times: Float64

    def __post_init__(self) -> None:
        _require(
            self.rgb.dtype == np.uint8 and self.rgb.ndim == 4 and self.rgb.shape[3] == 3,
            f"frames must be uint8 (T, H, W, 3), not {self.rgb.dtype} {self.rgb.shape}",
        )
        _require(
            self.times.shape == self.rgb.shape[:1],
            f"{len(self.rgb)} frames need as many time stamps, not {self.times.shape}",
        )

    def __len__(self) -> int:
        return len(self.rgb)

    def __repr__(self) -> str:
        span = f", {self.times[0]:.3f}–{self.times[-1]:.3f} s" if len(self) else ""
        return f"Frames({self.rgb.shape}{span})"

    def __iter__(self) -> Iterator[UInt8]:
        return iter(self.rgb)


@dataclass(frozen=True, eq=False)
class FlowStack:
    """A stack of displacement fields.

    data: float32 (T, 2, H, W); channel 0 is dx, channel 1 is dy, both in pixels per step.
    """

    data: Float32

    def __post_init__(self) -> None:
        _require(
            self.data.dtype == np.float32 and self.data.ndim == 4 and self.data.shape[1] == 2,
            f"flow must be float32 (T, 2, H, W), not {self.data.dtype} {self.data.shape}",
        )

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"FlowStack({self.data.shape})"

    def folded(self) -> Float32:
        """The same memory as (2T, H, W), channels x1 y1 x2 y2 … (Simonyan & Zisserman 2014, Eq. 1)."""
        t, _, h, w = self.data.shape
        return self.data.reshape(2 * t, h, w)


class FlowAlgorithm(Protocol):
    """What a file in `flowcache/algorithms/` creates: a frozen, picklable dataclass of options."""

    @property
    def version(self) -> str:
        """Which implementation this is; part of the cache's recipe beside the options."""
        ...

    def __call__(self, gray: UInt8) -> FlowStack:
        """Flow between consecutive frames: uint8 (T, H, W) → FlowStack of T − 1 fields."""
        ...


class Quantizing(Protocol):
    """Which codes stand for which displacements; see `quantize.Quantizer`."""

    @property
    def step(self) -> float:
        """The distance between codes, pixels."""
        ...

    @property
    def levels(self) -> int:
        """The largest code."""
        ...

    @property
    def dtype(self) -> np.dtype[np.signedinteger]:
        """The codes' type."""
        ...


class DeviceAlgorithm(FlowAlgorithm, Protocol):
    """An algorithm for devices, GPUs above all; beside `create` its file has `devices() -> list[str]`."""

    def on(self, device: str, quantizer: Quantizing, note: Callable[[str], None]) -> "Session":
        """The algorithm at work on one device. `note` is told in words what its user should know."""
        ...


class Session(Protocol):
    """One device at work; it computes while earlier results and later frames are under way."""

    def stack(self, shape: tuple[int, int, int]) -> Any:
        """Memory for gray frames, uint8 (T, H, W), that the device reads from; `numpy()` is a view."""
        ...

    def room(self, height: int, width: int) -> int:
        """How many pairs of frames of this size to hand over at once."""
        ...

    def start(
        self, stacks: Sequence[Any], step: int
    ) -> Callable[[], list[tuple[Codes, int] | str]]:
        """Begin with stacks of one frame size; the function that is returned waits for the end.

        It gives, for each stack, the quantised fields (T − step, 2, H, W) and how many of their numbers
        saturated, or else what is wrong with them.
        """
        ...


def require_gray(gray: UInt8) -> None:
    """ValueError unless these are uint8 (T, H, W)."""
    _require(
        gray.dtype == np.uint8 and gray.ndim == 3,
        f"gray frames must be uint8 (T, H, W), not {gray.dtype} {gray.shape}",
    )


def pairwise_flow(gray: UInt8, flow: "PairFlow") -> FlowStack:
    """Run a two-frame method over consecutive frames: uint8 (T, H, W) → T − 1 fields.

    `flow` takes two uint8 (H, W) images and returns float32 (H, W, 2), as OpenCV's methods do.
    """
    require_gray(gray)
    t, h, w = gray.shape
    data = np.empty((max(t - 1, 0), 2, h, w), np.float32)
    for i in range(t - 1):
        data[i] = np.moveaxis(flow(gray[i], gray[i + 1]), 2, 0)
    return FlowStack(data)


class PairFlow(Protocol):
    """Dense flow between two images."""

    def __call__(self, first: UInt8, second: UInt8, /) -> Float32:
        """uint8 (H, W) twice → float32 (H, W, 2)."""
        ...
