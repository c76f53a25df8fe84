import json
import multiprocessing
import pickle
import subprocess
import sys

import made_entries as entries
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowcache.cache.entry import Entry

FIELDS, FRAMES = 8, 9  # of the entry that the fixture writes

# What square brackets give


def test_one_number_gives_one_and_a_slice_or_several_give_a_stack(entry_path):
    with Entry(entry_path) as entry:
        assert entry.flow[3].shape == entry.codes[3].shape == (2, 45, 61)
        assert entry.flow[3].dtype == np.float32
        assert entry.rgb[3].shape == (45, 61, 3)
        assert entry.rgb[3].dtype == np.uint8
        assert entry.flow[2:5].data.shape == entry.codes[2:5].shape == (3, 2, 45, 61)
        assert entry.flow[2:5].folded().shape == (6, 45, 61)
        assert entry.rgb[[1, 0]].shape == (2, 45, 61, 3)
        assert (len(entry.flow), len(entry.codes), len(entry.rgb)) == (FIELDS, FIELDS, FRAMES)


def test_flow_is_the_codes_times_the_step(entry_path):
    with Entry(entry_path) as entry:
        step = np.float32(entry.info.recipe.quantizer_step)
        np.testing.assert_array_equal(entry.flow[:].data, entry.codes[:] * step)
        np.testing.assert_array_equal(entry.flow[-2], entry.codes[-2] * step)


def test_no_number_gives_an_empty_stack(entry_path):
    with Entry(entry_path) as entry:
        for none in ([], slice(0), slice(5, 2), slice(99, None), np.array([], int), range(0)):
            assert entry.codes[none].shape == entry.flow[none].data.shape == (0, 2, 45, 61)
            assert entry.rgb[none].shape == (0, 45, 61, 3)


def test_a_number_that_does_not_exist_is_an_index_error_that_says_which_exist(entry_path):
    with Entry(entry_path) as entry:
        for read in (
            lambda: entry.codes[99],
            lambda: entry.codes[FIELDS],
            lambda: entry.codes[-FIELDS - 1],
            lambda: entry.flow[[0, 99]],
            lambda: entry.flow[np.int64(99)],
            lambda: entry.rgb[-100],
            lambda: entry.rgb[FRAMES],
        ):
            with pytest.raises(
                IndexError, match=r"there is no (field|frame) -?\d+: .* from 0 to \d"
            ):
                read()
        assert entry.codes[FIELDS - 1].any()  # and the entry is as readable as before


def test_what_is_no_number_is_a_type_error_as_for_a_list(entry_path):
    with Entry(entry_path) as entry:
        for key in ("0", 1.0, None, [0.5], ["1"]):
            with pytest.raises(TypeError):
                _ = entry.codes[key]


def test_fields_and_frames_can_be_gone_through_one_by_one(entry_path):
    with Entry(entry_path) as entry:
        np.testing.assert_array_equal(np.stack(list(entry.codes)), entry.codes[:])
        np.testing.assert_array_equal(np.stack(list(entry.rgb)), entry.rgb[:])


numbers = st.integers(-FIELDS, FIELDS - 1)
bounds = st.none() | st.integers(-FIELDS - 3, FIELDS + 3)
keys = st.one_of(
    numbers,
    numbers.map(np.int32),
    st.builds(slice, bounds, bounds, st.none() | st.sampled_from([-3, -1, 1, 2, 5])),
    st.lists(numbers, max_size=6),
    st.lists(numbers, max_size=6).map(lambda some: np.array(some, int)),
    st.lists(numbers, max_size=6).map(tuple),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(keys)
def test_square_brackets_are_those_of_the_whole_stack(entry_path, key):
    wanted = list(key) if isinstance(key, tuple) else key  # NumPy would take it for two axes
    with Entry(entry_path) as entry:
        np.testing.assert_array_equal(entry.codes[key], entry.codes[:][wanted])
        np.testing.assert_array_equal(entry.rgb[key], entry.rgb[:][wanted])
        flow = entry.flow[key]
        np.testing.assert_array_equal(getattr(flow, "data", flow), entry.flow[:].data[wanted])


# Opening and closing


def test_text_and_a_path_open_the_same(entry_path):
    with Entry(str(entry_path)) as text, Entry(entry_path) as path:
        assert text.path == path.path == entry_path
        assert text.info == path.info
        assert str(entry_path) in repr(text)


def test_the_end_of_the_block_closes_the_file(entry_path):
    with Entry(entry_path) as entry:
        _ = entry.codes[0]
    entry_path.unlink()
    with pytest.raises(Exception, match=r"v\.h5"):
        _ = entry.codes[0]


# Other readers, other processes


def test_a_reader_with_nothing_but_h5py_and_hdf5plugin_sees_what_it_is(entry_path, tmp_path):
    code = """
import json, sys
sys.path = [p for p in sys.path if p]
import h5py, hdf5plugin, numpy as np
with h5py.File(sys.argv[1], "r") as file:
    info = json.loads(file.attrs["info"])
    flow = file["flow"]
    whole = flow[:]
    chunk = flow.chunks[0]
    jpeg = file["rgb_jpeg"][slice(*file["rgb_offsets"][:2])]
    print(json.dumps({
        "fields": flow.shape[0], "read": int(whole.size), "chunk": chunk,
        "step": flow.attrs["step_px"], "bound": flow.attrs["bound_px"],
        "info": info, "jpeg": bytes(jpeg[:2]).hex(), "times": file["times"][:].tolist(),
        "means": list(file["flow_mean"].shape), "units": file["times"].attrs["units"].decode(),
        "checksummed": [file[k].fletcher32 for k in file],
    }))
assert not [m for m in sys.modules if m.startswith(("flowcache", "cv2", "torch"))]
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(entry_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(run.stdout)
    assert seen["fields"] == 8
    assert seen["read"] > 0
    assert seen["chunk"] == 1
    assert (seen["step"], seen["bound"]) == (20 / 127, 20.0)
    assert seen["jpeg"] == "ffd8"
    assert seen["times"] == pytest.approx([t / 25 for t in range(9)])
    assert seen["means"] == [8, 2]
    assert seen["units"] == "s"
    assert all(seen["checksummed"])
    for key in ("recipe", "source", "original_width", "width", "frames", "fields", "saturated"):
        assert key in seen["info"]
    assert seen["info"]["recipe"]["algorithm"] == "farneback"
    assert seen["info"]["recipe"]["options"]["winsize"] == 13
    assert seen["info"]["source"]["sha256"] == "00"


def test_an_entry_can_be_read_where_numba_cannot_be_had(entry_path):
    code = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
import numpy as np
from flowcache.cache.entry import Entry
with Entry(sys.argv[1]) as entry:
    assert entry.verify().fields == 8
    np.save(sys.argv[2], entry.codes[:])
try:
    import numba
except ImportError:
    print("none")
"""
    saved = entry_path.with_suffix(".npy")
    run = subprocess.run(
        [sys.executable, "-c", code, str(entry_path), str(saved)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "none\n"), run.stderr
    np.testing.assert_array_equal(np.load(saved), Entry(entry_path).codes[:])


def expected_sums(path, indices):
    with Entry(path) as entry:
        return sorted(
            (i, int(entry.codes[i].astype(int).sum()), int(entry.rgb[i].astype(int).sum()))
            for i in indices
        )


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_an_open_entry_can_be_read_by_other_processes_at_once(entry_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    context = multiprocessing.get_context(method)
    expected = expected_sums(entry_path, range(8))
    entry = Entry(entry_path)
    _ = entry.codes[0]  # open before the others start
    replies = context.Queue()
    children = [
        context.Process(target=entries.read_again_and_again, args=(entry, 20, replies))
        for _ in range(2)
    ]
    for child in children:
        child.start()
    here = expected_sums(entry_path, range(8))
    assert [replies.get(timeout=60) for _ in children] == [expected, expected]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert here == expected
    entry.close()


def test_an_entry_pickles_as_its_path_whether_open_or_not(entry_path):
    entry = Entry(entry_path)
    closed = pickle.dumps(entry)
    codes = entry.codes[3]
    assert pickle.dumps(entry) == closed
    np.testing.assert_array_equal(pickle.loads(closed).codes[3], codes)


def test_a_closed_entry_opens_again(entry_path):
    entry = Entry(entry_path)
    entry.close()
    codes = entry.codes[1]
    entry.close()
    entry.close()
    np.testing.assert_array_equal(entry.codes[1], codes)


def test_an_entry_can_be_read_where_nothing_can_be_written(entry_path):
    entry_path.chmod(0o444)
    entry_path.parent.chmod(0o555)
    try:
        Entry(entry_path).verify()
    finally:
        entry_path.parent.chmod(0o755)
