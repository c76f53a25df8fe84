import json

import h5py
import made_entries as entries
import numpy as np
import pytest

from flowcache.cache.entry import DamagedEntryError, Entry

READS = {
    "info": lambda entry: entry.info,
    "times": lambda entry: entry.times,
    "means": lambda entry: entry.flow_means,
    "codes": lambda entry: entry.codes[0],
    "flow": lambda entry: entry.flow[0],
    "rgb": lambda entry: entry.rgb[0],
    "verify": lambda entry: entry.verify(),
}


def test_what_is_no_entry_is_a_damaged_one_that_is_named(tmp_path):
    for name, content in [("empty.h5", b""), ("text.h5", b"no HDF5 at all" * 100)]:
        (tmp_path / name).write_bytes(content)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["flow"] = np.zeros(3)
    for name in ("empty.h5", "text.h5", "foreign.h5", "absent.h5"):
        for read in READS.values():
            with pytest.raises(DamagedEntryError, match=name):
                read(Entry(tmp_path / name))


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


@pytest.mark.parametrize("read", READS)
def test_an_entry_of_a_codec_that_is_unknown_here_is_refused_by_the_codecs_name(entry_path, read):
    with h5py.File(entry_path, "r+") as file:
        file["flow"].attrs["codec"] = "wavelets-9"
    entries.reseal(entry_path)
    with pytest.raises(
        DamagedEntryError, match=r"v\.h5: its codec 'wavelets-9' is unknown"
    ) as caught:
        READS[read](Entry(entry_path))
    assert "\n" not in str(caught.value)


def test_damage_in_one_field_leaves_the_others_readable(entry_path):
    with h5py.File(entry_path, "r") as file:
        chunk = file["flow"].id.get_chunk_info(3)
        start = chunk.byte_offset  # counted from the start of the file, before the user block
    whole = entry_path.read_bytes()
    with Entry(entry_path) as entry:
        before = entry.codes[[2, 4]]
    for base in (start, start + 512):
        damaged = bytearray(whole)
        damaged[base : base + chunk.size // 2] = bytes(chunk.size // 2)
        entry_path.write_bytes(damaged)
        with Entry(entry_path) as entry:
            try:
                _ = entry.codes[3]
            except DamagedEntryError:
                np.testing.assert_array_equal(entry.codes[[2, 4]], before)
                return
    pytest.fail("the field that was overwritten could be read")


def test_the_error_of_a_loading_process_says_its_sentence_once():
    first = DamagedEntryError("v.h5: it is empty")
    # PyTorch raises it again with a text that ends as a traceback does.
    again = DamagedEntryError(f"Caught in worker 0.\n  File x\nsome.DamagedEntryError: {first}\n")
    assert str(again) == str(first)
