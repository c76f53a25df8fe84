"""Where a video's flow comes from: computed in this process, or asked of the process of a device.

Either way gray frames are put in and quantised fields are taken out, in the same order. With a device
the next frames are decoded, and the last fields compressed, while it computes.
"""

import socket
import struct
from collections import deque
from typing import Any, Self

import numpy as np

from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.types import Codes, FlowAlgorithm, FlowStack, UInt8
from flowcache.workers.isolation import CrashedError

REQUEST = struct.Struct("<3q")
"""Frames, height, width; the gray frames follow."""
ANSWER = struct.Struct("<2q")
"""Fields and how many of their numbers saturated, the codes follow; or −1 and the length of a text."""


class DeviceLostError(CrashedError):
    """The process of the device has ended, through no fault of the video's process."""


def flow_source(recipe: Recipe, address: str | None) -> "Here | Elsewhere":
    """What computes in this process, or asks the one that listens at an address."""
    return Elsewhere(recipe, address) if address else Here(recipe)


class Here:
    """Flow computed as soon as its frames are there."""

    def __init__(self, recipe: Recipe) -> None:
        self._algorithm, self._recipe = recipe.create_algorithm(), recipe
        self._done: deque[tuple[Codes, int]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.clear()

    @property
    def waiting(self) -> int:
        """How often to `take` for what was put."""
        return len(self._done)

    def put(self, gray: UInt8) -> None:
        """Frames (T, H, W), more than the recipe's step."""
        flow = flow_at_step(self._algorithm, gray, self._recipe.frame_step)
        self._done.append(self._recipe.quantizer.encode(flow))

    def take(self) -> tuple[Codes, int]:
        """Fields (T − step, 2, H, W) of the frames put first, and how many numbers saturated."""
        return self._done.popleft()


class Elsewhere:
    """Flow from a process that `serve` runs in."""

    def __init__(self, recipe: Recipe, address: str) -> None:
        self._recipe, self._address = recipe, address
        self._shapes: deque[tuple[int, int, int, int]] = deque()

    def __enter__(self) -> Self:
        self._connection = socket.socket(socket.AF_UNIX)
        try:
            self._connection.connect(self._address)
        except OSError:
            self._connection.close()
            raise _lost() from None
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def waiting(self) -> int:
        """How often to `take` for what was put."""
        return len(self._shapes)

    def put(self, gray: UInt8) -> None:
        """As `Here.put`. DeviceLostError where the other process is gone."""
        t, h, w = gray.shape
        try:
            self._connection.sendall(REQUEST.pack(t, h, w))
            self._connection.sendall(np.ascontiguousarray(gray).data)
        except OSError:
            raise _lost() from None
        self._shapes.append((t - self._recipe.frame_step, 2, h, w))

    def take(self) -> tuple[Codes, int]:
        """As `Here.take`. UserError where the flow cannot be computed; DeviceLostError."""
        try:
            fields, number = ANSWER.unpack(receive(self._connection, bytearray(ANSWER.size)))
            if fields < 0:
                raise UserError(receive(self._connection, bytearray(number)).decode())
            codes: Codes = np.empty(self._shapes.popleft(), self._recipe.quantizer.dtype)
            receive(self._connection, codes.reshape(-1).view(np.uint8).data)
        except (OSError, EOFError):
            raise _lost() from None
        return codes, number


def receive(connection: socket.socket, buffer: Any) -> Any:
    """Fill a buffer of bytes and return it; EOFError where the other side hangs up before."""
    view = memoryview(buffer)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return buffer


def flow_at_step(algorithm: FlowAlgorithm, gray: UInt8, step: int) -> FlowStack:
    """Flow from each frame t to t + step: uint8 (T, H, W) → T − step fields."""
    if step == 1:
        return algorithm(gray)
    t, h, w = gray.shape
    flow = np.empty((t - step, 2, h, w), np.float32)
    # Every step-th frame, from each start: within one such series the frames are consecutive.
    for start in range(min(step, t - step)):
        flow[start::step] = algorithm(gray[start::step]).data
    return FlowStack(flow)


def _lost() -> DeviceLostError:
    return DeviceLostError("the process that computes flow on the device has ended")
