import cv2
import h5py
import made_entries as entries
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcache.cache.announced import jpeg_size, zstd_size


def encoded(height, width, *options):
    return cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8), options)[1].tobytes()


@pytest.mark.parametrize("size", [(1, 1), (45, 61), (3, 700), (256, 340), (2000, 1)])
@pytest.mark.parametrize(
    "options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)]
)
def test_a_jpeg_announces_the_size_that_it_is_decoded_to(size, options):
    jpeg = encoded(*size, *options)
    assert jpeg_size(jpeg) == size == cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape[:2]


@given(st.binary(max_size=60), st.integers(0, 200))
def test_what_is_no_jpeg_is_a_value_error_and_nothing_else(garbage, length):
    for raw in (garbage, b"\xff\xd8" + garbage + b"\xff\xd9", encoded(8, 8)[:length] + garbage):
        try:
            size = jpeg_size(raw)
        except ValueError:
            continue
        assert min(size) >= 0


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 12), (24, 32), (256, 300)])
@pytest.mark.parametrize("step", [20 / 127, 20 / 2000])
def test_the_chunks_of_an_entry_announce_the_bytes_of_a_field(tmp_path, recipe, size, step):
    frames = np.zeros((4, *size, 3), np.uint8)
    made_by = recipe(quantizer_step=step)
    entries.write(tmp_path / "v.h5", made_by, entries.smooth_flow(3, *size), frames)
    with h5py.File(tmp_path / "v.h5") as file:
        for field in range(3):
            _, chunk = file["flow"].id.read_direct_chunk((field, 0, 0, 0, 0))
            assert zstd_size(chunk) == file["flow"][field].nbytes


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (b"\x20\x07", 7),  # one segment: the size has a byte
        (b"\x40\x50\x01\x00", 257),  # a window descriptor; two bytes, counted from 256
        (b"\x61\x09\x01\x01", 513),  # one segment, and a dictionary's number of one byte
        (b"\xa0\x01\x02\x03\x00", 0x030201),
        (b"\xe0\x01\x00\x00\x00\x00\x00\x01\x00", (1 << 48) + 1),
    ],
)
def test_a_zstandard_frame_announces_its_size_as_rfc_8878_has_it(header, size):
    assert zstd_size(b"\x28\xb5\x2f\xfd" + header) == size


@given(st.binary(max_size=20))
def test_what_is_no_zstandard_frame_is_a_value_error_and_nothing_else(garbage):
    for raw in (garbage, b"\x28\xb5\x2f\xfd" + garbage):
        try:
            assert zstd_size(raw) >= 0
        except ValueError:
            continue
