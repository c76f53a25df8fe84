"""Damaged copies of a file's bytes, as disks, networks and interrupted copies damage them."""

from collections.abc import Callable

import numpy as np

Rng = np.random.Generator


def mutant(whole: bytes, seed: int) -> tuple[str, bytes]:
    """What was done to a copy, and the copy, never equal to the whole; the seed alone decides."""
    rng = np.random.default_rng(seed)
    while True:
        damage = MUTATORS[rng.integers(len(MUTATORS))]
        damaged = damage(whole, rng)
        if damaged != whole:
            return f"{damage.__name__}, seed {seed}", damaged


def cut_off(whole: bytes, rng: Rng) -> bytes:
    """The beginning alone: an interrupted copy, or a full disk."""
    return whole[: rng.integers(len(whole))]


def flip_bits(whole: bytes, rng: Rng) -> bytes:
    """One to eight bits are the other way round."""
    damaged = np.frombuffer(whole, np.uint8).copy()
    for place in rng.integers(len(whole), size=rng.integers(1, 9)):
        damaged[place] ^= 1 << rng.integers(8)
    return damaged.tobytes()


def zero_a_run(whole: bytes, rng: Rng) -> bytes:
    """Bytes that were never written: a hole."""
    start, end = _run(whole, rng)
    return whole[:start] + bytes(end - start) + whole[end:]


def overwrite_a_run(whole: bytes, rng: Rng) -> bytes:
    """Bytes of something else."""
    start, end = _run(whole, rng)
    return whole[:start] + rng.bytes(end - start) + whole[end:]


def leave_out_a_run(whole: bytes, rng: Rng) -> bytes:
    """A lost packet: all that follows has moved."""
    start, end = _run(whole, rng)
    return whole[:start] + whole[end:]


def repeat_a_run(whole: bytes, rng: Rng) -> bytes:
    """A packet that was written twice."""
    start, end = _run(whole, rng)
    return whole[:end] + whole[start:]


def exchange_runs(whole: bytes, rng: Rng) -> bytes:
    """Two neighbouring packets in the wrong order."""
    start, end = _run(whole, rng)
    middle = (start + end) // 2
    return whole[:start] + whole[middle:end] + whole[start:middle] + whole[end:]


MUTATORS: tuple[Callable[[bytes, Rng], bytes], ...] = (
    cut_off,
    flip_bits,
    zero_a_run,
    overwrite_a_run,
    leave_out_a_run,
    repeat_a_run,
    exchange_runs,
)


def _run(whole: bytes, rng: Rng) -> tuple[int, int]:
    """Where a run of bytes begins and ends: short ones are as likely as long ones, up to a quarter."""
    longest = max(2, len(whole) // 4)
    length = int(2 ** rng.uniform(0, np.log2(longest)))
    start = int(rng.integers(max(1, len(whole) - length)))
    return start, start + length
