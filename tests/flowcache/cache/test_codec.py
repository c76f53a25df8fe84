import inspect

import h5py
import hdf5plugin  # noqa: F401 - it teaches h5py to read Zstd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flowcache.cache.codec import CODECS, DEFAULT, codec_named, unpack_in_numpy
from flowcache.errors import UserError

DTYPES = [np.dtype(np.int8), np.dtype(np.int16)]


# As docs/formats.md has it, written from the layout and not from the codec.
def read_field(path, index):
    """One field of an entry in pixels, float32 (C, H, W): dx, dy, and those backward if there are."""
    with h5py.File(path, "r") as file:
        flow = file["flow"]
        planes, height = flow[index], int(flow.attrs["height"])
        dtype, step = np.dtype(flow.attrs["dtype"]), np.float32(flow.attrs["step_px"])
    unsigned = np.dtype(f"u{dtype.itemsize}")
    _, components, groups, width = planes.shape
    u = np.zeros((4, *planes.shape[1:]), unsigned)  # (row mod 4, component, row div 4, column)
    for row in range(4):
        for digit, plane in enumerate(planes):
            u[row] |= (plane >> 2 * row & 3).astype(unsigned) << 2 * digit
    d = np.where(u & 1, ~(u >> 1), u >> 1)
    d = np.cumsum(d, dtype=unsigned).reshape(u.shape)  # undoes the difference along the rows
    d = d.transpose(1, 2, 0, 3).reshape(components, 4 * groups, width)[:, :height]
    codes = np.cumsum(d, axis=1, dtype=unsigned).view(dtype)  # and the one down the columns
    return codes * step


def round_trip(codes, folder):
    """Pack, write, read and unpack, in each way that there is; and read with what the docs say."""
    components, height, width = codes.shape[1:]
    path = folder / "codes.h5"
    with h5py.File(path, "w") as file:
        flow = DEFAULT.create_dataset(file, "flow", height, width, codes.dtype, components)
        flow.attrs["step_px"] = 0.25
        flow.resize(len(codes), axis=0)
        flow[:] = DEFAULT.pack(codes)
    with h5py.File(path, "r") as file:
        stored = file["flow"][:]
    for found in (
        DEFAULT.unpack(stored, height, codes.dtype),
        unpack_in_numpy(stored, height, codes.dtype),
    ):
        assert found.dtype == codes.dtype
        np.testing.assert_array_equal(found, codes)
    for index in range(len(codes)):
        np.testing.assert_array_equal(read_field(path, index), codes[index] * np.float32(0.25))


@st.composite
def any_codes(draw):
    dtype = draw(st.sampled_from(DTYPES))
    side = st.integers(1, 19)
    shape = (draw(st.integers(1, 3)), draw(st.sampled_from([2, 4])), draw(side), draw(side))
    largest = np.iinfo(dtype).max
    extremes = st.sampled_from([-largest, largest, 0])
    elements = draw(st.sampled_from([st.integers(-largest, largest), extremes, st.integers(-2, 2)]))
    return draw(arrays(dtype, shape, elements=elements))


@given(any_codes())
@settings(deadline=None)
def test_any_codes_come_back(tmp_path_factory, codes):
    round_trip(codes, tmp_path_factory.mktemp("codes"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "size", [(240, 320), (253, 341), (254, 42), (255, 41), (1, 1), (1, 999), (999, 1)]
)
def test_whole_fields_come_back(tmp_path, dtype, size):
    largest = np.iinfo(dtype).max
    rng = np.random.default_rng(0)
    noise = rng.integers(-largest, largest + 1, (2, 2, *size)).astype(dtype)
    checks = np.where(np.indices((2, 2, *size)).sum(0) % 2, largest, -largest).astype(dtype)
    round_trip(noise, tmp_path)
    round_trip(checks, tmp_path)


def test_no_fields():
    for dtype in DTYPES:
        packed = DEFAULT.pack(np.empty((0, 2, 5, 7), dtype))
        assert packed.shape == (0, 4 * dtype.itemsize, 2, 2, 7)
        assert DEFAULT.unpack(packed, 5, dtype).shape == (0, 2, 5, 7)


def test_codes_in_any_memory_order_come_back():
    codes = np.random.default_rng(0).integers(-9, 10, (9, 2, 12, 10)).astype(np.int8)
    for view in (codes[::2], codes[..., ::-1], codes.swapaxes(2, 3)):
        np.testing.assert_array_equal(
            DEFAULT.unpack(DEFAULT.pack(view), view.shape[2], np.int8), view
        )
    packed = DEFAULT.pack(codes)
    np.testing.assert_array_equal(DEFAULT.unpack(packed[::-3], 12, np.int8), codes[::-3])


def test_inputs_stay_as_they_are():
    codes = np.random.default_rng(0).integers(-9, 10, (2, 2, 8, 8)).astype(np.int8)
    before = codes.copy()
    packed = DEFAULT.pack(codes)
    packed_before = packed.copy()
    DEFAULT.unpack(packed, 8, np.int8)
    np.testing.assert_array_equal(codes, before)
    np.testing.assert_array_equal(packed, packed_before)


@pytest.mark.parametrize(("height", "dtype"), [(9, np.int8), (4, np.int8), (8, np.int16)])
def test_what_cannot_be_fields_is_refused(height, dtype):
    packed = DEFAULT.pack(np.zeros((1, 2, 8, 6), np.int8))
    with pytest.raises(ValueError, match="cannot hold"):
        DEFAULT.unpack(packed, height, dtype)
    with pytest.raises(ValueError, match="cannot hold"):
        DEFAULT.unpack(packed[0], 8, np.int8)


def test_smooth_fields_become_small(tmp_path):
    y, x = np.mgrid[:256, :340]
    smooth = np.stack([30 * np.sin(x / 90 + y / 70), 30 * np.cos(x / 80 - y / 60)])
    with h5py.File(tmp_path / "smooth.h5", "w") as file:
        flow = DEFAULT.create_dataset(file, "flow", 256, 340, np.int8)
        flow.resize(1, axis=0)
        flow[:] = DEFAULT.pack(np.rint(smooth).astype(np.int8)[None])
        assert flow.id.get_storage_size() < smooth.size / 10


# Which codec it is


def test_a_data_set_names_its_codec_and_that_codec_is_found_again(tmp_path):
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        flow = DEFAULT.create_dataset(file, "flow", 8, 6, np.int8)
        assert codec_named(flow.attrs["codec"]) is CODECS[DEFAULT.id] is DEFAULT
    assert all(codec.id == name for name, codec in CODECS.items())


def test_a_data_set_of_format_1_names_none_and_has_the_codec_named_then():
    assert codec_named(None).id == "digit-planes-1"


def test_an_unknown_codec_is_refused_by_name_together_with_those_that_are_known():
    with pytest.raises(UserError, match=r"'wavelets-9' is unknown.*digit-planes-1"):
        codec_named(b"wavelets-9")


def test_docs_show_this_reader(root):
    docs = (root / "docs/formats.md").read_text(encoding="utf-8")
    assert inspect.getsource(read_field) in docs
