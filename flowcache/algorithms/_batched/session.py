"""How PyTorch's devices are found, and how one is kept busy with batches of pairs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from flowcache.errors import UserError
from flowcache.quantize import Quantizer
from flowcache.types import Codes, FlowStack, UInt8, require_gray

# Of all pairs that are computed at once: 192 of 340x256 fill any GPU, and 6 a processor's cache.
_PIXELS_ON_GPU, _PIXELS_ON_CPU = 192 * 340 * 256, 6 * 340 * 256
_MOST_PAIRS = 4096  # however small the frames are: a GPU counts its programs to 65535 along an axis


class BatchSolver(Protocol):
    """A method that computes flow for many pairs at once."""

    def solve(self, stacks: Sequence[Tensor], step: int) -> Tensor:
        """uint8 stacks (T, H, W) on one device → float32 (P, 2, H, W): each t to t + step of each."""
        ...


def gpus() -> list[str]:
    """The GPUs that PyTorch can use here, CUDA's or ROCm's, as cuda:0."""
    # A driver that is too old for this PyTorch is counted all the same.
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{i}" for i in range(count)]


def pytorch_devices() -> list[str]:
    """Where PyTorch's own operations run here. The first is taken where none is named.

    A Mac's GPU comes last: it has to be asked for.
    """
    return [*gpus(), "cpu", *(["mps"] if torch.backends.mps.is_available() else [])]


def pytorch_version() -> str:
    """PyTorch's version, without the device that it was built for."""
    return f"PyTorch {torch.__version__.partition('+')[0]}"


def flow_of(solver: BatchSolver, gray: UInt8, device: str) -> FlowStack:
    """uint8 (T, H, W) → T − 1 fields, computed on one device, as many at once as it has room for."""
    require_gray(gray)
    t, h, w = gray.shape
    if t < 2 or h * w == 0:
        return FlowStack(np.zeros((max(t - 1, 0), 2, h, w), np.float32))
    with torch.inference_mode(), _current(torch.device(device)):
        parts = [
            solver.solve([part.to(device) for part in batch], 1).cpu()
            for batch in batches([torch.from_numpy(gray.copy())], 1, room_for(device, h, w))
        ]
    return FlowStack(torch.cat(parts).numpy())


def room_for(device: str, height: int, width: int, pixels: int | None = None) -> int:
    """How many pairs of frames of this size a device computes at once."""
    if pixels is None:
        pixels = _PIXELS_ON_GPU if device.startswith("cuda") else _PIXELS_ON_CPU
    return min(max(1, pixels // (height * width)), _MOST_PAIRS)


class BatchedInPyTorch:
    """What every algorithm shares that runs on PyTorch's devices and has `solve`."""

    def __call__(self: BatchSolver, gray: UInt8) -> FlowStack:
        """uint8 (T, H, W) → T − 1 fields, any size, on the first of `pytorch_devices`."""
        return flow_of(self, gray, pytorch_devices()[0])

    def flow_on(self: BatchSolver, device: str, gray: UInt8) -> FlowStack:
        """uint8 (T, H, W) → T − 1 fields, any size, on a device that is named."""
        return flow_of(self, gray, device)

    def on(
        self: BatchSolver, device: str, quantizer: Quantizer, on_note: Callable[[str], None]
    ) -> "DeviceSession":
        """The algorithm at work on one device; see `contract.BatchedAlgorithm`."""
        return DeviceSession(self, device, quantizer, on_note)


class DeviceSession:
    """A `contract.Session` for any solver.

    Frames are read from page-locked memory, and codes are written to page-locked memory. The copies go
    on while another batch is computed, because batches take turns on two streams. Where the device's
    memory does not suffice, batches are halved from then on.
    """

    def __init__(
        self,
        solver: BatchSolver,
        device: str,
        quantizer: Quantizer,
        on_note: Callable[[str], None],
    ) -> None:
        self._solver, self._quantizer, self._on_note = solver, quantizer, on_note
        self._device = torch.device(device)
        self._on_gpu = self._device.type == "cuda"
        self._pixels: int | None = None  # as many as usual, until the memory does not suffice
        new_stream: Any = torch.cuda.Stream
        self._streams = cycle(
            [new_stream(self._device) for _ in range(2)] if self._on_gpu else [None]
        )

    def stack(self, shape: tuple[int, int, int]) -> Tensor:
        """Memory for gray frames, uint8 (T, H, W), page-locked for a GPU."""
        return torch.empty(shape, dtype=torch.uint8, pin_memory=self._on_gpu)

    def room(self, height: int, width: int) -> int:
        """How many pairs of frames of this size are computed at once."""
        return room_for(str(self._device), height, width, self._pixels)

    def start(
        self, stacks: Sequence[Tensor], step: int
    ) -> Callable[[], list[tuple[Codes, int] | str]]:
        """See `contract.Session`. UserError where not even one pair fits the device."""
        stream = next(self._streams)
        with torch.inference_mode(), _current(self._device), _using(stream):
            codes, saturated, valid = (self._to_host(t) for t in self._solve(stacks, step))
            new_event: Any = torch.cuda.Event
            # The thread that waits for a blocking event sleeps.
            done = stream.record_event(new_event(blocking=True)) if stream else None
        counts = [len(stack) - step for stack in stacks]

        def finish() -> list[tuple[Codes, int] | str]:
            if done:
                with _current(self._device):
                    done.synchronize()
            parts = zip(*(torch.split(t, counts) for t in (codes, saturated, valid)), strict=True)
            return [
                (fields.numpy(), int(over.sum()))
                if good.all()
                else "the flow holds values that are not numbers"
                for fields, over, good in parts
            ]

        return finish

    def _solve(self, stacks: Sequence[Tensor], step: int) -> list[Tensor]:
        """Codes, how many saturated in each field, and whether each is of numbers; in batches."""
        height, width = stacks[0].shape[1:]
        pairs = sum(len(stack) - step for stack in stacks)
        while True:
            room = self.room(height, width)
            try:
                moved = [s.to(self._device, non_blocking=self._on_gpu) for s in stacks]
                results = [
                    quantized(self._solver.solve(batch, step), self._quantizer)
                    for batch in batches(moved, step, room)
                ]
                return [torch.cat(parts) for parts in zip(*results, strict=True)]
            except RuntimeError as error:  # PyTorch's own kind of it, or Triton's
                if "out of memory" not in str(error):
                    raise
            # Not within the handler: there the error still holds the memory that failed.
            self._halve(height, width, min(room, pairs))

    def _halve(self, height: int, width: int, room: int) -> None:
        size = f"{width}x{height}"
        if room == 1:
            raise UserError(
                f"{self._device} has too little memory for frames of {size}: use a smaller size, or "
                "the device cpu",
                "size",
            )
        self._pixels = room // 2 * height * width
        torch.cuda.empty_cache()
        self._on_note(
            f"{self._device}: out of memory with {room} pairs of {size} at once, going on with "
            f"{room // 2}"
        )

    def _to_host(self, values: Tensor) -> Tensor:
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=self._on_gpu)
        return host.copy_(values, non_blocking=self._on_gpu)


def quantized(flow: Tensor, quantizer: Quantizer) -> tuple[Tensor, Tensor, Tensor]:
    """As `Quantizer.encode`, on the device, and for each field by itself.

    Flow (P, 2, H, W) → codes of that shape, how many of each field's saturated, and whether it is all
    numbers. Nothing waits for the device.
    """
    levels = quantizer.levels
    scaled = quantizer.rounded(flow)
    saturated = (scaled.abs() > levels).flatten(1).sum(1)
    valid = ~scaled.isnan().flatten(1).any(1)
    dtype = torch.int8 if quantizer.dtype == np.int8 else torch.int16
    return scaled.clamp_(-levels, levels).to(dtype), saturated, valid


def batches(stacks: Sequence[Tensor], step: int, room: int) -> Iterator[list[Tensor]]:
    """The stacks, cut so that each batch has `room` pairs at most, in their order."""
    batch: list[Tensor] = []
    left = room
    for stack in stacks:
        start, count = 0, len(stack) - step
        while start < count:
            take = min(left, count - start)
            batch.append(stack[start : start + take + step])
            start, left = start + take, left - take
            if not left:
                yield batch
                batch, left = [], room
    if batch:
        yield batch


def _current(device: torch.device) -> AbstractContextManager[Any]:
    # Triton launches on the current device, whatever device its arguments are on.
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _using(stream: Any) -> AbstractContextManager[Any]:
    return torch.cuda.stream(stream) if stream else nullcontext()
