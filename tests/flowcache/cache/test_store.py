import json
import multiprocessing
import os
import shutil

import h5py
import made_entries as entries
import numpy as np
import pytest

from flowcache.atomic import atomic_path
from flowcache.cache.entry import DamagedEntryError, Entry
from flowcache.cache.info import EntryInfo
from flowcache.cache.store import FlowCache, ForeignEntryError, NoSuchEntryError
from flowcache.errors import UserError

IDS = ["Archery/v_1", "Archery/v.2 [x] 'y'", "deep/er/v_3"]


@pytest.fixture
def cache(tmp_path, recipe, rgb):
    cache = FlowCache.create(tmp_path / "cache", recipe())
    for seed, identifier in enumerate(IDS):
        flow = entries.smooth_flow(8, 45, 61, seed=seed)
        entries.write(cache.path(identifier), cache.recipe, flow, rgb)
    return cache


def problems(cache):
    found = list(cache.verify(jobs=1))
    assert [identifier for identifier, _ in found] == sorted(IDS)
    return {identifier: problem for identifier, problem in found if problem}


# Making and opening


def test_a_new_cache_keeps_its_recipe_in_a_readable_file(tmp_path, recipe):
    cache = FlowCache.create(tmp_path / "deep" / "cache", recipe(bound=15.0))
    values = json.loads((tmp_path / "deep" / "cache" / "cache.json").read_text())
    assert values["bound"] == 15.0
    assert values["algorithm"] == "farneback"
    assert values["options"]["winsize"] == 13
    assert FlowCache.open(cache.root).recipe == recipe(bound=15.0)
    assert cache.ids() == []


def test_the_same_recipe_opens_it_again_and_another_is_refused_by_what_differs(tmp_path, recipe):
    root = tmp_path / "cache"
    FlowCache.create(root, recipe())
    before = (root / "cache.json").read_bytes()
    FlowCache.create(root, recipe())
    with pytest.raises(UserError) as caught:
        FlowCache.create(root, recipe(bound=15.0, quantizer_step=20 / 127, frame_step=2))
    for part in (str(root), "frame step 1, not 2", "bound 20.0, not 15.0"):
        assert part in str(caught.value)
    assert "size" not in str(caught.value)
    with pytest.raises(UserError, match="algorithm farneback, not dis"):
        FlowCache.create(root, recipe("dis"))
    assert (root / "cache.json").read_bytes() == before


def test_where_there_is_no_cache_it_says_how_to_make_one(tmp_path):
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=r"is no flow cache .*: extract videos into it first"):
            FlowCache.open(root)


def test_a_recipe_file_that_cannot_be_read_is_named(tmp_path, recipe):
    FlowCache.create(tmp_path, recipe())
    for content in (b"", b"{", b"[]", b"{}", b'{"algorithm": 3}', b"null", b"\xff\xfe\x00"):
        (tmp_path / "cache.json").write_bytes(content)
        for attempt in (
            lambda: FlowCache.open(tmp_path),
            lambda: FlowCache.begun(tmp_path),
            lambda: FlowCache.create(tmp_path, recipe()),
        ):
            with pytest.raises(UserError, match=r"cache\.json cannot be read"):
                attempt()


def test_a_recipe_file_of_another_format_says_what_to_do(tmp_path, recipe):
    FlowCache.create(tmp_path, recipe())
    values = json.loads((tmp_path / "cache.json").read_text())
    (tmp_path / "cache.json").write_text(json.dumps(values | {"format_version": 99}))
    with pytest.raises(UserError, match=r"format 99 .*extract it again"):
        FlowCache.open(tmp_path)


def test_what_was_begun_is_told_without_making_anything(tmp_path, recipe):
    assert FlowCache.begun(tmp_path) is None
    assert not list(tmp_path.iterdir())
    FlowCache.create(tmp_path, recipe("dis"))
    assert FlowCache.begun(tmp_path) == recipe("dis")


def test_a_cache_that_came_to_nothing_gives_its_folder_to_another_recipe(tmp_path, recipe, cache):
    empty = FlowCache.create(tmp_path / "empty", recipe())
    for _ in range(2):
        empty.discard_if_empty()
    assert FlowCache.create(tmp_path / "empty", recipe("dis")).recipe == recipe("dis")
    cache.discard_if_empty()
    assert FlowCache.open(cache.root).recipe == cache.recipe


def test_text_and_a_path_name_the_same_cache(cache):
    text = str(cache.root)
    assert list(FlowCache.open(text)) == list(FlowCache.open(cache.root)) == cache.ids()
    assert FlowCache.create(text, cache.recipe).root == cache.root
    assert FlowCache.begun(text) == cache.recipe
    assert FlowCache(text, cache.recipe).ids() == cache.ids()


# Listing and reading


def test_a_cache_is_a_mapping_of_ids_to_entries(cache):
    assert list(cache) == list(cache.keys()) == cache.ids()
    assert len(cache) == len(IDS)
    assert IDS[0] in cache
    assert "absent" not in cache
    assert {i: entry.info for i, entry in cache.items()} == dict(cache.infos())
    assert cache[IDS[1]].path == cache.path(IDS[1])
    assert cache.get("absent") is None
    assert str(cache.root) in repr(cache)


def test_an_entry_that_is_not_there_is_a_key_error_that_reads_as_a_sentence(cache):
    with pytest.raises(NoSuchEntryError) as caught:
        _ = cache["absent"]
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, UserError)
    assert str(caught.value) == f"{cache.root} has no entry 'absent': see its ids()"


NO_IDS = ["", ".", "..", "../v", "a/../../v", "/v", "a//v", "a/", "a\0v", "a/.hidden", "./v"]


@pytest.mark.parametrize("identifier", NO_IDS)
def test_what_leads_out_of_the_cache_is_no_id(cache, identifier):
    for refused in (cache.path, cache.entry):
        with pytest.raises(UserError, match="cannot be the id of an entry"):
            refused(identifier)


@pytest.mark.parametrize("identifier", [*NO_IDS, "x" * 5000, 5, None, ("a", "v")])
def test_what_is_no_id_is_not_in_the_cache(cache, identifier):
    (cache.root.parent / "v.h5").write_bytes(cache.path(IDS[0]).read_bytes())
    assert identifier not in cache
    assert cache.get(identifier) is None
    with pytest.raises(NoSuchEntryError, match="has no entry"):
        _ = cache[identifier]


def test_entries_below_a_linked_folder_are_entries(cache, tmp_path, recipe, rgb):
    (tmp_path / "disk").mkdir()
    (cache.root / "Linked").symlink_to(tmp_path / "disk")
    (cache.root / "Linked" / "again").symlink_to(cache.root)  # a loop
    entries.write(cache.path("Linked/deep/v"), cache.recipe, entries.smooth_flow(8, 45, 61), rgb)
    assert cache.ids() == sorted([*IDS, "Linked/deep/v"])
    assert dict(cache.infos())["Linked/deep/v"].fields == 8
    left = tmp_path / "disk" / ".v.h5.0123456789ab.part"
    left.touch()
    with cache.writing():
        assert not left.exists()


def test_a_link_that_leads_nowhere_is_an_entry_that_cannot_be_read(cache, tmp_path):
    (cache.root / "Archery" / "gone.h5").symlink_to(tmp_path / "absent")
    assert isinstance(dict(cache.infos())["Archery/gone"], DamagedEntryError)
    assert "gone.h5" in dict(cache.verify(jobs=1))["Archery/gone"]


def test_the_ids_are_the_paths_without_their_ending(cache):
    assert cache.ids() == sorted(IDS)
    for identifier in IDS:
        assert cache.entry(identifier).info.fields == 8


def test_hidden_files_and_other_files_are_no_entries(cache):
    (cache.root / "Archery" / ".v_1.h5.0123.part").touch()
    (cache.root / "Archery" / ".hidden.h5").touch()
    (cache.root / "notes.txt").touch()
    assert cache.ids() == sorted(IDS)


def test_infos_tell_what_can_be_read_and_what_cannot(cache):
    cache.path(IDS[0]).write_bytes(b"nothing")
    found = dict(cache.infos())
    assert isinstance(found.pop(IDS[0]), DamagedEntryError)
    assert all(isinstance(info, EntryInfo) for info in found.values())
    assert len(found) == 2


def test_a_cache_can_be_moved(cache, tmp_path):
    moved = cache.root.rename(tmp_path / "elsewhere")
    assert not problems(FlowCache.open(moved))


# The right to write


def test_only_one_extraction_writes_at_a_time(cache):
    replies = multiprocessing.get_context("spawn").Queue()
    context = multiprocessing.get_context("spawn")
    with cache.writing():
        with pytest.raises(UserError, match="another extraction is writing"), cache.writing():
            pass
        other = context.Process(target=entries.try_to_write, args=(cache.root, replies))
        other.start()
        assert "another extraction is writing" in replies.get(timeout=60)
        other.join(60)
    other = context.Process(target=entries.try_to_write, args=(cache.root, replies))
    other.start()
    assert replies.get(timeout=60) == "in"
    other.join(60)
    with cache.writing():  # and the right is given back after an error, too
        pass
    with pytest.raises(ValueError, match="x"), cache.writing():
        raise ValueError("x")
    with cache.writing():
        pass


def test_what_a_killed_writer_left_is_cleared_and_entries_stay(cache):
    left = cache.path(IDS[0]).with_name(".v_9.h5.0123456789ab.part")
    left.write_bytes(b"half")
    with cache.writing():
        assert not left.exists()
        assert cache.ids() == sorted(IDS)


# Damage


def test_an_intact_cache_verifies(cache):
    assert not problems(cache)
    assert [i for i, _ in cache.verify(jobs=2)] == sorted(IDS)


def test_a_cache_verifies_from_wherever_it_is_named(cache, tmp_path, monkeypatch):
    """joblib keeps its processes, and with them the folder in which they began."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        shutil.copytree(cache.root, folder / "cache")
    shutil.rmtree(folders[0] / "cache" / IDS[0].split("/")[0])
    for folder in folders:
        monkeypatch.chdir(folder)
        opened = FlowCache.open("cache")
        assert [problem for _, problem in opened.verify(jobs=2) if problem] == []


def test_every_truncation_is_named_and_nothing_else(cache):
    victim = IDS[1]
    path = cache.path(victim)
    whole = path.read_bytes()
    size = len(whole)
    for length in {0, 1, 8, 511, 512, 513, size // 3, size // 2, size - 4096, size - 9, size - 1}:
        path.write_bytes(whole[:length])
        assert list(problems(cache)) == [victim], length
        assert str(path) in problems(cache)[victim]
    path.write_bytes(whole + b"\0")
    assert list(problems(cache)) == [victim]
    path.write_bytes(whole)
    assert not problems(cache)


def test_a_flipped_byte_anywhere_is_named_and_nothing_else(cache):
    random = np.random.default_rng(5)
    path = cache.path(IDS[1])
    whole = path.read_bytes()
    places = {0, 20, 60, 100, 200, 511, 512, 513, 520, len(whole) - 1}
    places |= set(random.integers(0, len(whole), 60).tolist())
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        assert list(problems(cache)) == [IDS[1]], place


def test_a_stretch_of_zeros_is_named(cache):
    path = cache.path(IDS[2])
    whole = path.read_bytes()
    for start in range(0, len(whole) - 600, len(whole) // 12):
        if not any(whole[start : start + 600]):
            continue
        path.write_bytes(whole[:start] + bytes(600) + whole[start + 600 :])
        assert list(problems(cache)) == [IDS[2]], start


def test_several_damaged_entries_are_all_named_by_several_jobs(cache):
    for identifier in IDS[:2]:
        cache.path(identifier).write_bytes(cache.path(identifier).read_bytes()[:-5])
    found = dict(cache.verify(jobs=2))
    assert sorted(i for i, problem in found.items() if problem) == sorted(IDS[:2])


def test_an_entry_made_by_another_recipe_is_named_with_the_difference(cache, recipe, rgb, tmp_path):
    other = FlowCache.create(tmp_path / "other", recipe(bound=15.0, quantizer_step=15 / 127))
    path = other.path("v")
    entries.write(path, other.recipe, entries.smooth_flow(8, 45, 61), rgb)
    shutil.copy(path, cache.path(IDS[0]))
    found = problems(cache)
    assert list(found) == [IDS[0]]
    assert "bound 15.0, not 20.0" in found[IDS[0]]
    infos = dict(cache.infos())
    foreign = infos.pop(IDS[0])
    assert isinstance(foreign, ForeignEntryError)
    assert str(foreign) == found[IDS[0]]
    assert all(isinstance(info, EntryInfo) for info in infos.values())


@pytest.mark.parametrize("error", [KeyError("x"), MemoryError("y"), AssertionError()])
def test_whatever_goes_wrong_with_one_entry_the_others_are_checked(cache, monkeypatch, error):
    real = Entry.verify

    def verify(entry):
        if entry.path == cache.path(IDS[1]):
            raise error
        return real(entry)

    monkeypatch.setattr(Entry, "verify", verify)
    found = problems(cache)
    assert list(found) == [IDS[1]]
    assert f"cannot be checked ({type(error).__name__}" in found[IDS[1]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes that are files")
def test_a_pipe_in_the_place_of_an_entry_is_named_and_not_waited_for(cache):
    cache.path(IDS[0]).unlink()
    os.mkfifo(cache.path(IDS[0]))
    assert "it is no file" in problems(cache)[IDS[0]]
    assert isinstance(dict(cache.infos())[IDS[0]], DamagedEntryError)


def test_an_entry_of_another_format_is_named_and_stops_nothing(cache):
    with h5py.File(cache.path(IDS[0]), "r+") as file:
        values = json.loads(file.attrs["info"])
        values["recipe"]["format_version"] = 99
        file.attrs["info"] = json.dumps(values)
    entries.reseal(cache.path(IDS[0]))
    assert "99" in problems(cache)[IDS[0]]
    assert isinstance(dict(cache.infos())[IDS[0]], DamagedEntryError)


def test_an_entry_that_cannot_be_opened_is_named(cache):
    cache.path(IDS[0]).unlink()
    cache.path(IDS[0]).mkdir()
    assert list(problems(cache)) == [IDS[0]]


def test_a_half_written_file_is_never_under_an_entrys_name(cache):
    path = cache.path("new/v")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        assert cache.ids() == sorted(IDS)
        raise RuntimeError
    assert cache.ids() == sorted(IDS)
