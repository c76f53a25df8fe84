"""The mutators and the campaign are themselves what the other files rest on."""

import fault_attempts
import fault_campaign
import numpy as np
import pytest
from made_mutants import MUTATORS, mutant

WHOLE = np.random.default_rng(0).bytes(5000)


def test_a_mutant_differs_and_depends_on_its_seed_alone():
    assert all(mutant(WHOLE, seed)[1] != WHOLE for seed in range(200))
    assert mutant(WHOLE, 7) == mutant(WHOLE, 7)


def test_every_mutator_is_used():
    names = {mutant(WHOLE, seed)[0].partition(",")[0] for seed in range(200)}
    assert names == {one.__name__ for one in MUTATORS}


@pytest.mark.parametrize("damage", MUTATORS)
def test_the_smallest_files_are_damaged_too(damage):
    for seed in range(50):
        damage(b"ab", np.random.default_rng(seed))


def test_a_campaign_tells_ends_apart():
    ends = ["refused", "traceback", "hung", "harmless", "wrong"]
    counts = fault_campaign.run(fault_attempts.as_told, [(end, (end,)) for end in ends], seconds=5)
    assert {end: len(cases) for end, cases in counts.cases.items()} == dict.fromkeys(ends, 1)
    assert all(case.startswith(end) for end, cases in counts.cases.items() for case in cases)
    assert str(counts).startswith("5 tried: ")


def test_memory_has_a_limit():
    counts = fault_campaign.run(fault_attempts.as_told, [("greedy", ("too much memory",))])
    assert counts.cases["traceback"][0].startswith("greedy: MemoryError")
