import json

import h5py
import made_entries as entries
import numpy as np
import pytest

from flowcache.cache.entry import DamagedEntryError, Entry, write_entry
from flowcache.types import FlowStack, Frames

# Writers that fail, files that are damaged


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("when", ["at once", "after frames", "after flow", "after finish"])
def test_an_error_inside_the_writer_leaves_nothing(tmp_path, recipe, rgb, error, when):
    path = tmp_path / "a" / "v.h5"
    with pytest.raises(error), write_entry(path, recipe()) as writer:  # noqa: PT012
        if when == "at once":
            raise error
        writer.add_frames(Frames(rgb, np.arange(9.0)))
        if when == "after frames":
            raise error
        flow = FlowStack(entries.smooth_flow(8, 45, 61))
        writer.add_codes(*recipe().quantizer.encode(flow))
        if when == "after flow":
            raise error
        writer.finish(entries.SOURCE, (1, 1), None, "")
        raise error
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_failed_rewrite_leaves_the_old_entry(entry_path, recipe):
    before = entry_path.read_bytes()
    with pytest.raises(ValueError, match="x"), write_entry(entry_path, recipe()):
        raise ValueError("x")
    assert entry_path.read_bytes() == before


def test_an_entry_without_a_field_or_with_what_is_no_number_is_refused(tmp_path, recipe, rgb):
    with pytest.raises(ValueError, match="at least one field"):
        entries.write(
            tmp_path / "v.h5", recipe(), np.empty((0, 2, 45, 61), np.float32), rgb[:1], batches=1
        )
    with pytest.raises(ValueError, match="not numbers"):
        entries.write(tmp_path / "v.h5", recipe(), np.full((8, 2, 45, 61), np.nan, np.float32), rgb)
    assert not list(tmp_path.iterdir())


def test_what_is_no_entry_is_a_damaged_one_that_is_named(tmp_path):
    for name, content in [("empty.h5", b""), ("text.h5", b"no HDF5 at all" * 100)]:
        (tmp_path / name).write_bytes(content)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["flow"] = np.zeros(3)
    for name in ("empty.h5", "text.h5", "foreign.h5", "absent.h5"):
        for read in (Entry.info, Entry.times, lambda e: e.codes([0]), Entry.verify):
            with pytest.raises(DamagedEntryError, match=name):
                read(Entry(tmp_path / name))


def test_the_seal_is_the_digest_of_all_that_follows(entry_path):
    before = entry_path.read_bytes()
    entries.reseal(entry_path)
    assert entry_path.read_bytes() == before


def change_info(file, **changes):
    values = json.loads(file.attrs["info"])
    file.attrs["info"] = json.dumps(values | changes)


def replace(file, name, values):
    del file[name]
    file[name] = values


CONTRADICTIONS = {
    "fields": lambda f: change_info(f, fields=7),
    "frames": lambda f: change_info(f, frames=10),
    "step": lambda f: change_info(
        f, recipe=json.loads(f.attrs["info"])["recipe"] | {"frame_step": 2}
    ),
    "times": lambda f: replace(f, "times", np.arange(8.0)),
    "offsets": lambda f: replace(f, "rgb_offsets", f["rgb_offsets"][:-1]),
    "means": lambda f: replace(f, "flow_mean", f["flow_mean"][:] + 0.5),
    "missing means": lambda f: f.__delitem__("flow_mean"),
    "missing frames": lambda f: f.__delitem__("rgb_jpeg"),
    "shorter flow": lambda f: f["flow"].resize(7, axis=0),
    "another field": lambda f: f["flow"].write_direct(np.ones_like(f["flow"][:1]), dest_sel=0),
    "no JPEG": lambda f: f["rgb_jpeg"].write_direct(np.zeros(400, np.uint8), dest_sel=slice(400)),
    "another size": lambda f: change_info(f, width=60),
    "no info": lambda f: f.attrs.__delitem__("info"),
    "info is no JSON": lambda f: f.attrs.__setitem__("info", "{"),
    "info lacks": lambda f: f.attrs.__setitem__("info", "{}"),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_an_entry_that_contradicts_itself_does_not_verify(entry_path, what):
    with h5py.File(entry_path, "r+") as file:
        CONTRADICTIONS[what](file)
    entries.reseal(entry_path)
    with pytest.raises(DamagedEntryError, match=r"v\.h5"):
        Entry(entry_path).verify()
