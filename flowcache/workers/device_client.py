"""Where the flow of a video comes from: computed in this process, or asked of the process of a device.

Both take windows of gray frames and give the quantised fields of each, in the same order. With a device
the next window is decoded, and the last fields are compressed, while it computes (double buffer).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import numpy as np

from flowcache.errors import UserError
from flowcache.quantize import Quantizer
from flowcache.types import Codes, FlowAlgorithm, FlowStack, UInt8
from flowcache.workers import protocol
from flowcache.workers.directions import Fields, in_directions
from flowcache.workers.isolation import CrashedError

_BUFFERS = 2


class DeviceLostError(CrashedError):
    """The process of the device has ended, through no fault of the video's process."""


def flow_here(
    windows: Iterable[UInt8],
    algorithm: FlowAlgorithm,
    step: int,
    quantizer: Quantizer,
    backward: bool = False,
) -> Fields:
    """For each window (T, H, W) its fields (T − step, 2, H, W) and how many numbers saturated.

    backward: (T − step, 4, H, W), with the fields that lead back; see `directions.in_directions`.
    """

    def forward(windows: Iterable[UInt8]) -> Fields:
        for gray in windows:
            yield quantizer.encode(flow_at_step(algorithm, gray, step))

    return in_directions(windows, forward, backward)


def flow_on_device(
    windows: Iterable[UInt8],
    address: protocol.Address,
    step: int,
    quantizer: Quantizer,
    backward: bool = False,
) -> Fields:
    """The same from the process that listens at an address.

    Raises UserError where the flow cannot be computed, DeviceLostError where the process is gone.
    """
    forward = partial(_forward_on_device, address=address, step=step, quantizer=quantizer)
    return in_directions(windows, forward, backward)


def _forward_on_device(
    windows: Iterable[UInt8], address: protocol.Address, step: int, quantizer: Quantizer
) -> Fields:
    with ExitStack() as stack:
        with _lost():
            # One connection for each window that is under way: on each, an answer follows a request.
            connections = [
                stack.enter_context(Client(address[0], authkey=address[1])) for _ in range(_BUFFERS)
            ]
        asking, answering = cycle(connections), cycle(connections)
        under_way: deque[tuple[int, ...]] = deque()

        def answer() -> tuple[Codes, int]:
            with _lost():
                shape = under_way.popleft()
                return protocol.receive_answer(next(answering), shape, quantizer.dtype)

        for gray in windows:
            with _lost():
                protocol.send_request(next(asking), gray)
            t, h, w = gray.shape
            under_way.append((t - step, 2, h, w))
            if len(under_way) == _BUFFERS:
                yield answer()
        while under_way:
            yield answer()


def flow_at_step(algorithm: FlowAlgorithm, gray: UInt8, step: int) -> FlowStack:
    """Flow from each frame t to t + step: uint8 (T, H, W) → T − step fields."""
    if step == 1:
        return _checked(algorithm(gray), gray)
    t, h, w = gray.shape
    flow = np.empty((t - step, 2, h, w), np.float32)
    # Every step-th frame, from each start: within one such series the frames are consecutive.
    for start in range(min(step, t - step)):
        series = gray[start::step]
        flow[start::step] = _checked(algorithm(series), series).data
    return FlowStack(flow)


def _checked(flow: FlowStack, gray: UInt8) -> FlowStack:
    """UserError unless these are the fields of these frames, as a user's own algorithm may forget."""
    wanted = (len(gray) - 1, 2, *gray.shape[1:])
    if not isinstance(flow, FlowStack) or flow.data.shape != wanted:
        raise UserError(
            f"the algorithm must give a FlowStack of {wanted} for frames {gray.shape}, and gave "
            f"{repr(flow) if isinstance(flow, FlowStack) else type(flow).__name__}",
            "algorithm",
        )
    return flow


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, AuthenticationError):
        raise DeviceLostError("the process that computes flow on the device has ended") from None
