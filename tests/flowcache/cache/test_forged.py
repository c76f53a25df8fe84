"""Entries whose seal holds, with content that no writer wrote: refused before memory is taken."""

import json
import struct
import tracemalloc
from itertools import pairwise

import cv2
import h5py
import hdf5plugin
import made_entries as entries
import numpy as np
import pytest

from flowcache.cache.codec import DEFAULT
from flowcache.cache.entry import DamagedEntryError, Entry
from flowcache.cache.store import FlowCache

SIZE, FIELDS = (45, 61), 8  # of the entry that the fixture writes
ALL = ("flow", "flow_mean", "rgb_jpeg", "rgb_offsets", "times")


def info(**changes):
    def forge(file):
        file.attrs["info"] = np.bytes_(json.dumps(json.loads(file.attrs["info"]) | changes))

    return forge


def replaced(name, **how):
    """The same content in another data set."""

    def forge(file):
        values, chunks = file[name][:], file[name].chunks
        options = {"chunks": chunks, "maxshape": file[name].maxshape, "fletcher32": True}
        attributes = dict(file[name].attrs)
        if name == "flow":
            options |= hdf5plugin.Zstd(clevel=6)
        del file[name]
        options = {k: v for k, v in (options | how).items() if v is not None}
        file.create_dataset(name, **({"data": values} | options)).attrs.update(attributes)

    return forge


def linked(name, link):
    def forge(file):
        file.move(name, "elsewhere")
        file[name] = link

    return forge


def virtual(name):
    def forge(file):
        file.move(name, "elsewhere")
        layout = h5py.VirtualLayout(file["elsewhere"].shape, file["elsewhere"].dtype)
        layout[...] = h5py.VirtualSource(file["elsewhere"])
        file.create_virtual_dataset(name, layout)

    return forge


def of_references(file):
    data = np.array([file.ref] * len(file["times"]), h5py.ref_dtype)
    replaced("times", data=data, dtype=h5py.ref_dtype)(file)


def a_group(file):
    del file["times"]
    file.create_group("times")


def frames(change):
    """Other bytes in the place of frame 3."""

    def forge(file):
        offsets, jpeg = file["rgb_offsets"][:], file["rgb_jpeg"][:].tobytes()
        parts = [jpeg[start:end] for start, end in pairwise(offsets)]
        parts[3] = change(parts[3])
        data = np.frombuffer(b"".join(parts), np.uint8)
        replaced("rgb_jpeg", data=data)(file)
        file["rgb_offsets"][:] = np.cumsum([0, *map(len, parts)])

    return forge


def picture(height, width, ending=".jpg"):
    return lambda _: cv2.imencode(ending, np.zeros((height, width, 3), np.uint8))[1].tobytes()


def announcing(height, width):
    """A JPEG whose header is changed."""

    def change(jpeg):
        place = jpeg.index(b"\xff\xc0")
        return jpeg[: place + 5] + struct.pack(">HH", height, width) + jpeg[place + 9 :]

    return change


def values(name, place, value):
    def forge(file):
        content = file[name][:]
        content[place] = value
        file[name][:] = content

    return forge


def zstd_frame(size, announced=None):
    """Bytes of 9 in blocks of one repeated byte, as RFC 8878 has it: kilobytes for gigabytes."""
    announced = size if announced is None else announced
    frame = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", announced)
    while size >= 0:
        block, size = min(size, 1 << 17), size - (1 << 17)
        frame += struct.pack("<I", block << 3 | 2 | (size <= 0))[:3] + b"\x09"
        if size <= 0:
            break
    return frame


def fletcher32(raw):
    """HDF5's checksum of an even number of bytes."""
    low = high = 0
    for word in np.frombuffer(raw + bytes(len(raw) % 2), ">u2").tolist():
        low = (low + word) % 65535
        high = (high + low) % 65535
    return struct.pack("<I", high << 16 | low)


def chunk(payload, skipped_filters=0):
    """Other bytes in the place of field 3."""

    def forge(file):
        raw = payload + fletcher32(payload)
        file["flow"].id.write_direct_chunk((3, 0, 0, 0, 0), raw, skipped_filters)

    return forge


def beyond_the_bound(file):
    codes = np.full((1, 2, *SIZE), -128, np.int8)
    file["flow"][3] = DEFAULT.pack(codes)[0]
    file["flow_mean"][3] = codes[0, 0, 0, 0] * file["flow"].attrs["step_px"]


def told(name, value):
    return lambda file: file["flow"].attrs.__setitem__(name, value)


def without_frames(file):
    """A recipe that keeps no frames, which are there all the same."""
    recipe = json.loads(file.attrs["info"])["recipe"]
    recipe |= {"algorithm": "imported", "options": {"frames": False}}
    info(recipe=recipe)(file)


FORGED_AT_ONCE = {
    **{f"{n} is a soft link": linked(n, h5py.SoftLink("/elsewhere")) for n in ALL},
    **{f"{n} is in another file": linked(n, h5py.ExternalLink("other.h5", "x")) for n in ALL},
    **{f"{n} is virtual": virtual(n) for n in ALL},
    **{
        f"{n} is compressed otherwise": replaced(n, compression="gzip", compression_opts=6)
        for n in ALL
    },
    **{f"{n} is shuffled": replaced(n, shuffle=True) for n in ALL},
    **{f"{n} has no checksum": replaced(n, fletcher32=False) for n in ALL},
    **{f"{n} is of other numbers": replaced(n, dtype=">i2") for n in ALL},
    "means in one piece": replaced("flow_mean", chunks=None, maxshape=None, fletcher32=None),
    "means beside the file": replaced(
        "flow_mean", chunks=None, maxshape=None, fletcher32=None, external="means.raw"
    ),
    "times are references": of_references,
    "times are a group": a_group,
    "no times at all": lambda file: file.__delitem__("times"),
    "times are a scalar": replaced("times", data=1.0, chunks=None, maxshape=None, fletcher32=None),
    "times are nothing": replaced(
        "times", data=h5py.Empty("f8"), chunks=None, maxshape=None, fletcher32=None
    ),
    "gigabytes of offsets": info(frames=10**12, fields=10**12 - 1),
    "gigabytes of pixels": info(width=60_000, height=60_000),
    "a side too long": info(width=70_000, height=1),
    "no pixels": info(width=0),
    "fewer than no fields": info(fields=-8, frames=-7),
    "text for a number": info(frames="9"),
    "true for a number": info(saturated=True),
    "no number": info(frame_rate=float("nan")),
    "a source that is none": info(source=["x"]),
    "a recipe that is none": info(recipe=3),
    "more than it should": info(more=1),
    "deep": lambda file: file.attrs.__setitem__("info", np.bytes_("[" * 50_000)),
    "a list": lambda file: file.attrs.__setitem__("info", np.bytes_("[]")),
    "numbers": lambda file: file.attrs.__setitem__("info", np.arange(5)),
    "several": lambda file: file.attrs.__setitem__("info", np.array([b"{}", b"{}"])),
    "several of any length": lambda file: file.attrs.__setitem__("info", ["{}", "{}"]),
    "nothing of itself": lambda file: file.attrs.__setitem__("info", h5py.Empty("S5")),
    "a codec of numbers": told("codec", 3),
    "fields without bytes": lambda file: file["flow"].resize(9, axis=0),
    "gigabytes of fields": lambda file: file["flow"].resize(10**9, axis=0),
    "no frame where the recipe has frames": values("rgb_offsets", slice(None), 0),
    "frames where the recipe has none": without_frames,
    "offsets that fall": values("rgb_offsets", 4, 1),
    "offsets below 0": values("rgb_offsets", 0, -5),
    "offsets beyond the end": values("rgb_offsets", -1, 10**12),
}
"""What opening refuses, or reading the times where it is in them."""

FORGED_WITHIN = {
    "a frame of 1 pixel": frames(picture(1, 1)),
    "an empty frame": frames(lambda _: b""),
    "a smaller frame": frames(picture(44, 61)),
    "a frame on its side": frames(picture(61, 45)),
    "a frame of gigabytes": frames(announcing(65_000, 65_000)),
    "a frame of nothing": frames(announcing(0, 0)),
    "a frame cut off": frames(lambda jpeg: jpeg[:-20]),
    "a PNG": frames(picture(*SIZE, ".png")),
    "segments without an end": frames(lambda _: b"\xff\xd8" + b"\xff\xe0\0\0" * 9 + b"\xff\xd9"),
    "times that fall": values("times", 4, 0.0),
    "times that are none": values("times", 4, np.nan),
    "another mean": values("flow_mean", 4, 9.0),
    "no mean": values("flow_mean", 4, np.nan),
    "a field beyond its bound": beyond_the_bound,
    "another field": chunk(zstd_frame(4 * 2 * 12 * 61)),
    "a field of too few bytes": chunk(zstd_frame(100)),
    "a field of too many bytes": chunk(zstd_frame(4 * 4 * 2 * 12 * 61)),
    "a field of gigabytes": chunk(zstd_frame(1 << 33)),
    "a field that announces gigabytes": chunk(zstd_frame(100, 1 << 40)),
    "a field that is not compressed": chunk(bytes(100), 1),
    "a field that is no Zstandard": chunk(bytes(100)),
    "another height": told("height", 44),
    "another type": told("dtype", np.bytes_("int16")),
    "another step": told("step_px", 0.5),
    "several steps": told("step_px", [0.5, 0.5]),
    "no bound": lambda file: file["flow"].attrs.__delitem__("bound_px"),
}
"""What `verify` refuses; reading refuses what concerns it."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory, recipe):
    path = tmp_path_factory.mktemp("whole") / "v.h5"
    frames = np.random.default_rng(0).integers(0, 255, (FIELDS + 1, *SIZE, 3), np.uint8)
    entries.write(path, recipe(), entries.smooth_flow(FIELDS, *SIZE), frames)
    return path.read_bytes()


@pytest.fixture
def forged(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where HDF5 puts external files

    def make(forge):
        path = tmp_path / "a" / "v.h5"
        path.parent.mkdir()
        path.write_bytes(whole)
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            forge(file)
        entries.reseal(path)
        return path

    return make


@pytest.fixture(autouse=True)
def _little_memory():
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize("what", FORGED_AT_ONCE)
def test_what_no_writer_writes_is_refused_when_it_is_opened(forged, what):
    entry = Entry(forged(FORGED_AT_ONCE[what]))
    reads = [lambda: entry.times, entry.verify]
    if "times" not in what:
        reads += [lambda: entry.info, lambda: entry.codes[0], lambda: entry.rgb[0]]
    for read in reads:
        with pytest.raises(DamagedEntryError, match=r"v\.h5: ") as caught:
            read()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("what", FORGED_WITHIN)
def test_what_is_forged_within_is_refused_by_verify(forged, what):
    with pytest.raises(DamagedEntryError, match=r"v\.h5: ") as caught:
        Entry(forged(FORGED_WITHIN[what])).verify()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", [w for w in FORGED_WITHIN if "frame" in w or "times" in w])
def test_frames_and_times_that_are_forged_are_refused_by_reading(forged, what):
    entry = Entry(forged(FORGED_WITHIN[what]))
    with pytest.raises(DamagedEntryError):
        _ = entry.rgb[3], entry.times


def test_a_forged_entry_is_named_by_a_check_of_the_whole_cache(forged, recipe):
    path = forged(FORGED_WITHIN["an empty frame"])
    cache = FlowCache(path.parent.parent, recipe())
    (problem,) = cache.verify(jobs=1)
    assert problem[0] == "a/v"
    assert str(path) in problem[1]
