"""The values that pass between the stages of flowcache: frames, flow, and what computes flow.

Conventions that hold everywhere: x points right and y points down; a displacement is in pixels per
step, from frame t to frame t + step, so the point at (x, y) in frame t is found at (x + dx, y + dy)
in frame t + step; time is in seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

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
    """Consecutive video frames."""

    rgb: UInt8
    """uint8 (T, H, W, 3), RGB, upright."""

    times: Float64
    """float64 (T,), seconds from the start of the container's clock."""

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
    """A stack of displacement fields."""

    data: Float32
    """float32 (T, 2, H, W); channel 0 is dx, channel 1 is dy, both in pixels per step."""

    def __post_init__(self) -> None:
        _require(
            self.data.dtype == np.float32 and self.data.ndim == 4 and self.data.shape[1] == 2,
            f"flow must be float32 (T, 2, H, W), not {self.data.dtype} {self.data.shape}",
        )

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"FlowStack({self.data.shape})"

    def __getitem__(self, number: int) -> Float32:
        """One field, (2, H, W)."""
        field: Float32 = self.data[number]
        return field

    def folded(self) -> Float32:
        """The same memory as (2T, H, W), channels x1 y1 x2 y2 … (Simonyan & Zisserman 2014, Eq. 1)."""
        t, _, h, w = self.data.shape
        return self.data.reshape(2 * t, h, w)


class FlowAlgorithm(Protocol):
    """A method of dense optical flow. Anything of this shape can be passed to the functions of flowcache.

    It should be a frozen, keyword-only dataclass that can be pickled. Its fields are its options, and a
    cache records them beside `version`.
    """

    @property
    def version(self) -> str:
        """Which implementation this is. Another version may give other flow."""
        ...

    def __call__(self, gray: UInt8) -> FlowStack:
        """Flow between consecutive frames: uint8 (T, H, W) → FlowStack of T − 1 fields."""
        ...


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One implementation of an algorithm, as the algorithm declares it.

    A backend on the CPU that is not `batched` computes in the process that decodes the video. A batched
    one computes for many videos at once, in a process for each device; its module has, beside `create`,
    a function `devices()` that lists the devices of this machine that it can run on.
    """

    name: str
    """As a cache records it: "cpu", "torch" or "triton"."""

    module: str
    """The module whose `create` makes the algorithm."""

    devices: Sequence[str] = ("cpu",)
    """The kinds of device it is for: "cpu", "cuda" (CUDA's and ROCm's GPUs) or "mps"."""

    batched: bool = False


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
