"""How a device is kept busy: batches, quantised flow, too little memory. The device here is the CPU."""

import numpy as np
import pytest
import torch

from flowcache.algorithms._batched.session import (
    DeviceSession,
    flow_of,
    pytorch_devices,
    quantized,
)
from flowcache.errors import UserError
from flowcache.quantize import Quantizer
from flowcache.types import FlowStack

QUANTIZER = Quantizer(bound=20.0, step=0.25)
# Of frames of this size the CPU is given eight pairs at once.
HEIGHT, WIDTH = 255, 256


class Differences:
    """A solver whose fields tell which two frames they are of; its device has room for few pairs."""

    def __init__(self, fits=1000):
        self.fits = fits
        self.batches = []

    def solve(self, stacks, step):
        pairs = sum(len(s) - step for s in stacks)
        self.batches.append(pairs)
        if pairs > self.fits:
            raise torch.OutOfMemoryError("out of memory")
        first, second = (
            torch.cat([s[part] for s in stacks]).float() for part in (np.s_[:-step], np.s_[step:])
        )
        return torch.stack([first, second], 1) / 4


def numbered(count, start=0, height=HEIGHT, width=WIDTH):
    return torch.arange(start, start + count, dtype=torch.uint8)[:, None, None].repeat(
        1, height, width
    )


def session(solver, on_note=print):
    return DeviceSession(solver, "cpu", QUANTIZER, on_note)


def frames_of(answer):
    codes, _ = answer
    assert (codes == codes[:, :, :1, :1]).all()
    return [tuple(pair) for pair in codes[:, :, 0, 0] * QUANTIZER.step * 4]


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("fits", [1, 2, 5, 1000])
def test_each_stack_gets_its_own_fields_however_batches_are_cut(step, fits):
    stacks = [numbered(6), numbered(step + 1, 20), numbered(9, 40)]
    solver = Differences(fits)
    answers = session(solver).start(stacks, step)()
    assert max(solver.batches) == 8
    for stack, answer in zip(stacks, answers, strict=True):
        numbers = stack[:, 0, 0].tolist()
        assert frames_of(answer) == list(zip(numbers[:-step], numbers[step:], strict=True))


def test_too_little_memory_halves_the_batches_from_then_on_and_says_so():
    notes, solver = [], Differences(fits=3)
    at_work = session(solver, notes.append)
    at_work.start([numbered(40)], 1)()
    assert solver.batches[:3] == [8, 4, 2]
    assert set(solver.batches[2:]) == {2, 1}
    assert sum(solver.batches[2:]) == 39
    assert notes == [
        "cpu: out of memory with 8 pairs of 256x255 at once, going on with 4",
        "cpu: out of memory with 4 pairs of 256x255 at once, going on with 2",
    ]
    at_work.start([numbered(5)], 1)()
    assert solver.batches[-2:] == [2, 2]
    assert at_work.room(HEIGHT, WIDTH) == 2
    assert at_work.room(2 * HEIGHT, WIDTH) == 1


def test_frames_of_which_no_pair_fits_are_refused_in_a_sentence():
    with pytest.raises(
        UserError, match=r"^cpu has too little memory for frames of 256x255: use "
    ) as caught:
        session(Differences(fits=0)).start([numbered(3)], 1)
    assert caught.value.parameter == "size"


def test_the_room_is_never_less_than_a_pair_nor_more_than_a_launch_can_have():
    assert session(Differences()).room(10_000, 10_000) == 1
    assert session(Differences()).room(256, 340) == 6
    assert session(Differences()).room(HEIGHT, WIDTH) == 8
    assert session(Differences()).room(1, 1) == 4096


@pytest.mark.parametrize("quantizer", [QUANTIZER, Quantizer(bound=20, step=20 / 127),
                                       Quantizer(bound=64, step=1 / 64)], ids=str)  # fmt: skip
def test_codes_are_those_of_the_quantizer_bit_for_bit(quantizer):
    random = np.random.default_rng(0)
    flow = random.normal(0, 0.6 * quantizer.bound, (5, 2, 33, 41)).astype(np.float32)
    flow[0, :, :9] = quantizer.step * (random.integers(-50, 50, (2, 9, 41)) + 0.5)  # ties
    flow[1] = np.clip(flow[1], -1, 1)
    expected, saturated = quantizer.encode(FlowStack(flow))
    codes, over, valid = quantized(torch.from_numpy(flow), quantizer)
    np.testing.assert_array_equal(codes.numpy(), expected)
    assert codes.numpy().dtype == expected.dtype
    assert int(over.sum()) == saturated > 0
    assert over[1] == 0
    assert valid.all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_stack_whose_flow_is_not_all_numbers_is_told_so_and_the_others_are_not(bad):
    class Spoiled(Differences):
        def solve(self, stacks, step):
            flow = super().solve(stacks, step)
            flow[3, 1, 2, 2] = bad
            return flow

    first, second, third = session(Spoiled()).start([numbered(3), numbered(4), numbered(2)], 1)()
    assert len(frames_of(first)) == 2
    assert len(frames_of(third)) == 1
    if np.isnan(bad):
        assert second == "the flow holds values that are not numbers"
    else:  # as the quantiser has it: beyond the bound
        assert second[1] == 1


def test_the_memory_for_frames_is_written_through_its_view():
    stack = session(Differences()).stack((2, 3, 4))
    stack.numpy()[...] = 7
    assert stack.dtype == torch.uint8
    assert stack.tolist() == [[[7] * 4] * 3] * 2


@pytest.mark.gpu
def test_on_a_card_memory_is_page_locked_and_results_are_the_same():
    at_work = DeviceSession(Differences(), "cuda:0", QUANTIZER, print)
    stacks = []
    for source in (numbered(6), numbered(9, 40)):
        stack = at_work.stack(tuple(source.shape))
        assert stack.is_pinned()
        stacks.append(stack.copy_(source))
    pending = [at_work.start(stacks, 1) for _ in range(4)]
    expected = session(Differences()).start([numbered(6), numbered(9, 40)], 1)()
    for finish in pending:
        for answer, other in zip(finish(), expected, strict=True):
            assert frames_of(answer) == frames_of(other)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_frames_have_no_field(count):
    solver = Differences()
    assert flow_of(solver, np.zeros((count, 20, 30), np.uint8), "cpu").data.shape == (0, 2, 20, 30)
    assert solver.batches == []


def test_a_call_is_cut_into_batches_that_the_device_has_room_for():
    gray, solver = numbered(20).numpy(), Differences()
    flow = flow_of(solver, gray, "cpu")
    assert isinstance(flow, FlowStack)
    assert solver.batches == [8, 8, 3]
    np.testing.assert_array_equal(flow.data[:, :, 0, 0] * 4, [(t, t + 1) for t in range(19)])


def test_the_first_gpu_comes_first_or_else_the_processor():
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    assert pytorch_devices()[: len(gpus) + 1] == [*gpus, "cpu"]
