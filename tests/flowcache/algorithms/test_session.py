"""How a device is kept busy: batches, quantised flow, too little memory. The device here is the CPU."""

import numpy as np
import pytest
import torch

from flowcache.algorithms import _devices
from flowcache.errors import UserError
from flowcache.quantize import Quantizer
from flowcache.types import FlowStack

QUANTIZER = Quantizer(bound=20.0, step=0.25)


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


def numbered(count, start=0, height=4, width=6):
    return torch.arange(start, start + count, dtype=torch.uint8)[:, None, None].repeat(
        1, height, width
    )


def session(solver, notes=None):
    return _devices.DeviceSession(solver, "cpu", QUANTIZER, (notes or []).append)


def frames_of(answer):
    codes, _ = answer
    assert (codes == codes[:, :, :1, :1]).all()
    return [tuple(pair) for pair in codes[:, :, 0, 0] * QUANTIZER.step * 4]


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("fits", [1, 2, 3, 5, 1000])
def test_each_stack_gets_its_own_fields_however_batches_are_cut(step, fits):
    stacks = [numbered(6), numbered(step + 1, 20), numbered(9, 40)]
    at_work = session(Differences(fits))
    at_work._pixels = 8 * 4 * 6
    answers = at_work.start(stacks, step)()
    for stack, answer in zip(stacks, answers, strict=True):
        numbers = stack[:, 0, 0].tolist()
        assert frames_of(answer) == list(zip(numbers[:-step], numbers[step:], strict=True))


def test_too_little_memory_halves_the_batches_from_then_on_and_says_so():
    notes, solver = [], Differences(fits=5)
    at_work = _devices.DeviceSession(solver, "cpu", QUANTIZER, notes.append)
    at_work._pixels = 16 * 4 * 6
    at_work.start([numbered(40)], 1)()
    assert solver.batches[:3] == [16, 8, 4]
    assert set(solver.batches[2:]) == {4, 3}
    assert sum(solver.batches[2:]) == 39
    assert [note.partition(" ")[2] for note in notes] == [
        "out of memory with 16 pairs of 6x4 at once, going on with 8",
        "out of memory with 8 pairs of 6x4 at once, going on with 4",
    ]
    at_work.start([numbered(9)], 1)()
    assert solver.batches[-2:] == [4, 4]
    assert at_work.room(4, 6) == 4
    assert at_work.room(8, 6) == 2


def test_frames_of_which_no_pair_fits_are_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"^cpu has too little memory for frames of 6x4: use "):
        session(Differences(fits=0)).start([numbered(3)], 1)


def test_the_room_is_never_less_than_a_pair_nor_more_than_a_launch_can_have():
    assert session(Differences()).room(10_000, 10_000) == 1
    assert session(Differences()).room(256, 340) == 6
    assert session(Differences()).room(1, 1) == 4096


@pytest.mark.parametrize("quantizer", [QUANTIZER, Quantizer(bound=20, step=20 / 127),
                                       Quantizer(bound=64, step=1 / 64)], ids=str)  # fmt: skip
def test_codes_are_those_of_the_quantizer_bit_for_bit(quantizer):
    random = np.random.default_rng(0)
    flow = random.normal(0, 0.6 * quantizer.bound, (5, 2, 33, 41)).astype(np.float32)
    flow[0, :, :9] = quantizer.step * (random.integers(-50, 50, (2, 9, 41)) + 0.5)  # ties
    flow[1] = np.clip(flow[1], -1, 1)
    expected, saturated = quantizer.encode(FlowStack(flow))
    codes, over, valid = _devices.quantized(torch.from_numpy(flow), quantizer)
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
    at_work = _devices.DeviceSession(Differences(), "cuda:0", QUANTIZER, print)
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
