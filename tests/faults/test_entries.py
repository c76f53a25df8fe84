"""Damaged entries: what can be read of one is what the whole one says, and anything else is refused."""

from itertools import pairwise

import fault_attempts_entries
import fault_campaign
import h5py
import made_entries as entries
import numpy as np
import pytest
from made_mutants import mutant

from flowcache.cache.recipe import FORMAT_VERSION

FORMATS = range(1, FORMAT_VERSION + 1)
KINDS = {
    "8 bits": ({}, (24, 32), 4),
    "16 bits": ({"quantizer_step": 20 / 2000}, (17, 23), 3),
    "many fields": ({}, (6, 7), 60),
}
"""Changes to the recipe, the frames' (height, width), and the number of fields."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory, recipe):
    """An entry of a format and a kind, written when it is first asked for."""
    folder = tmp_path_factory.mktemp("whole")

    def make(version, kind):
        path = folder / f"{version} {kind}.h5"
        if not path.exists():
            changes, size, fields = KINDS[kind]
            rgb = np.random.default_rng(0).integers(0, 255, (fields + 1, *size, 3), np.uint8)
            entries.write(path, recipe(**changes), entries.smooth_flow(fields, *size), rgb)
            if version < FORMAT_VERSION:
                entries.rewrite_as_format(path, version)
        return path

    return make


def damaged(path, seed):
    """What was done, and the damaged bytes: before, in or behind the JPEG, which is most of the file."""
    raw = path.read_bytes()
    with h5py.File(path, "r") as file:
        chunk = file["rgb_jpeg"].id.get_chunk_info(0)
    places = [0, chunk.byte_offset, chunk.byte_offset + chunk.size, len(raw)]
    parts = [raw[start:end] for start, end in pairwise(places)]
    part = seed % 3
    damage, parts[part] = mutant(parts[part], seed)
    return f"part {part}, {damage}", b"".join(parts)


def campaign(whole, seeds):
    """A mutant of every format, kind and part in turn, for each seed."""

    def cases():
        kinds = [(version, kind) for version in FORMATS for kind in KINDS]
        for seed in seeds:
            version, kind = kinds[seed // 3 % len(kinds)]
            path = whole(version, kind)
            damage, raw = damaged(path, seed)
            yield f"format {version}, {kind}, {damage}", (path, raw)

    return fault_campaign.run(fault_attempts_entries.read, cases())


def require_refused_or_harmless(counts):
    print(counts)
    bad = {end: cases for end, cases in counts.cases.items() if end not in ("refused", "harmless")}
    assert not bad
    assert counts.of["refused"] > sum(counts.of.values()) / 2


def test_a_damaged_entry_is_refused_or_says_what_the_whole_one_says(whole):
    require_refused_or_harmless(campaign(whole, range(99)))


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("start", range(1000, 4000, 500))
def test_many_damaged_entries_are_refused_or_say_what_the_whole_ones_say(whole, start):
    require_refused_or_harmless(campaign(whole, range(start, start + 500)))
