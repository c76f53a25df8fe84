"""Entries of format 2 say the same as those of now, and damage to their text keeps nobody busy."""

import fault_attempts_entries
import fault_campaign
import made_entries as entries
import numpy as np
import pytest

from flowcache.cache import seal
from flowcache.cache.entry import Entry
from flowcache.cache.recipe import FORMAT_VERSION, Recipe


@pytest.fixture(params=[1, 2])
def old_path(request, entry_path):
    path = entry_path.with_name("old.h5")
    path.write_bytes(entry_path.read_bytes())
    entries.rewrite_as_format(path, request.param)
    return path


def test_an_entry_of_an_old_format_says_the_same(entry_path, old_path):
    with Entry(entry_path) as new, Entry(old_path) as old:
        assert old.info == old.verify() == new.info
        assert old.info.recipe.format_version == FORMAT_VERSION
        for name in ("codes", "rgb"):
            np.testing.assert_array_equal(getattr(old, name)[:], getattr(new, name)[:])
        np.testing.assert_array_equal(old.times, new.times)
        np.testing.assert_array_equal(old.flow_means, new.flow_means)


def test_zeros_in_the_text_of_an_old_entry_are_refused_and_keep_nobody_busy(old_path):
    raw = old_path.read_bytes()
    heap = raw.index(b"GCOL")
    text = raw.index(b'{"', heap)

    def cases():
        for start in (heap + 16, text - 16, text + 16):
            damaged = bytearray(raw)
            damaged[start : start + 16] = bytes(16)
            yield f"zeros at {start}", (old_path, bytes(damaged))

    counts = fault_campaign.run(fault_attempts_entries.read, cases(), seconds=10)
    assert counts.of == {"refused": 3}, counts.cases


def test_the_text_of_an_entry_of_now_lies_in_no_heap(entry_path, old_path):
    assert b"GCOL" in old_path.read_bytes()
    assert b"GCOL" not in entry_path.read_bytes()


def test_an_old_entry_is_read_whole_once_in_a_process(old_path, monkeypatch):
    read = []
    real = seal.sealed_format
    monkeypatch.setattr(seal, "sealed_format", lambda file: read.append(file.name) or real(file))
    for _ in range(3):
        with Entry(old_path) as entry:
            assert entry.info.fields == 8
    assert len(read) == 1


def test_a_seal_of_another_format_than_the_recipes_is_refused(entry_path):
    entries.reseal(entry_path, 2)
    with pytest.raises(Exception, match="its seal is that of format 2"):
        Entry(entry_path).verify()


def test_a_recipe_of_format_2_is_read_as_what_it_is(recipe):
    text = recipe().to_json().replace('"format_version": 3', '"format_version": 2')
    assert Recipe.from_json(text) == recipe()
