"""Files that are damaged, missing, of another kind, or that hold code: each is named with its reason."""

import pickle
import re
import struct
import zipfile

import cv2
import flow_readers
import h5py
import numpy as np
import pytest

from flowcache.errors import UserError
from flowcache.exchange.contract import Convention, format_named


def read(name, *files, **convention):
    return list(format_named(name).read(list(files), Convention(**convention)))


def refused(name, *files):
    with pytest.raises(UserError) as caught:
        read(name, *files)
    return str(caught.value)


class Code:
    """What unpickling it does is written in it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def pairs(tmp_path, flow):
    """A video's pictures in the usual naming, sorted: dx first."""
    flow_readers.write_pictures(tmp_path / "v", flow, 20, ("flow_x_{:05}.png", "flow_y_{:05}.png"))
    return sorted((tmp_path / "v").iterdir())


def test_a_picture_without_the_other_component_is_named(pairs):
    pairs.remove(next(p for p in pairs if p.name == "flow_y_00003.png"))
    message = refused("png", *pairs)
    assert message == "5 pictures of dx and 4 of dy: flow_x_00003.png has no dy beside it"
    assert "has no dy beside it" in refused("png", *pairs[:5])
    assert "has no dx beside it" in refused("png", *pairs[5:])


def test_folders_of_one_component_alone_or_of_three_are_refused(tmp_path, flow):
    flow_readers.write_pictures(tmp_path, flow, 20, ("u/a/{:03}.png", "v/a/{:03}.png"))
    flow_readers.write_pictures(tmp_path, flow, 20, ("x/a/{:03}.png", "y/a/{:03}.png"))
    u, v, x = (sorted((tmp_path / name / "a").iterdir()) for name in "uvx")
    assert "5 pictures of dx and 0 of dy" in refused("png", *u)
    assert "it lies in 3 folders, and has two components" in refused("png", *u, *v, *x)
    assert "u and x hold" in refused("png", *u, *x).replace("a and a", "u and x")


def test_a_missing_field_and_one_that_is_there_twice_are_named(pairs, tmp_path):
    gap = [path for path in pairs if "00002" not in path.name]
    assert refused("png", *gap) == "field 2 is missing: the numbers go on with 3"
    again = tmp_path / "v" / "flow_x_00002.jpeg"
    again.write_bytes(b"")
    assert "is there twice" in refused("png", *pairs, again)
    for name in ("1.flo", "01.flo"):
        (tmp_path / name).write_bytes(b"")
    assert "1.flo both have the number 1" in refused("flo", tmp_path / "1.flo", tmp_path / "01.flo")


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((18, 26, 3), np.uint8), "is no gray picture of 8 bits"),
        (np.zeros((18, 26), np.uint16), "is no gray picture of 8 bits"),
        (np.zeros((17, 26), np.uint8), "flow_x_00003.png has 26x17 pixels, and its dy 26x18"),
        (None, "flow_x_00003.png is no picture that can be read"),
    ],
    ids=["colour", "16 bits", "another size", "no picture"],
)
def test_a_picture_of_another_kind_is_named(pairs, picture, reason):
    if picture is None:
        pairs[2].write_bytes(pairs[2].read_bytes()[:40])
    else:
        cv2.imwrite(str(pairs[2]), picture)
    assert reason in refused("png", *pairs)


def test_a_picture_of_8_bits_is_no_flow_of_kitti(tmp_path):
    path = tmp_path / "000001.png"
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    assert (
        refused("kitti", path) == "000001.png is no colour picture of 16 bits, as KITTI's flow is"
    )
    path.write_bytes(b"")
    assert "no picture that can be read" in refused("kitti", path)


@pytest.mark.parametrize("size", [0, 3, 11, 12, 100, 12 + 8 * 20 + 1])
def test_a_flo_file_that_is_cut_off_or_too_long_is_refused(tmp_path, size):
    path = tmp_path / "1.flo"
    whole = struct.pack("<fii", 202021.25, 5, 4) + bytes(8 * 20)
    path.write_bytes((whole + b"?")[:size])
    message = refused("flo", path)
    assert ("PIEH" if size < 12 else f"{size} bytes, and 5x4 pixels take 172") in message


@pytest.mark.parametrize("header", [(b"PIEH", -1, 4), (b"PIEH", 1 << 20, 1 << 20), (b"HEIP", 5, 4)])
def test_a_flo_file_that_says_nonsense_is_refused_before_memory_is_taken(tmp_path, header):
    path = tmp_path / "1.flo"
    path.write_bytes(struct.pack("<4sii", *header) + bytes(160))
    assert "1.flo" in refused("flo", path)


@pytest.mark.parametrize("name", ["npy", "npz"])
def test_an_array_that_holds_code_is_refused_and_the_code_does_not_run(tmp_path, name):
    path, done = tmp_path / f"v.{name}", tmp_path / "it ran"
    objects = np.array([Code(done)], dtype=object)
    if name == "npy":
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, flow=objects)
    assert "holds Python objects, and reading them could run code" in refused(name, path)
    assert format_named(name).video_of(path, tmp_path) == "v"
    path.write_bytes(pickle.dumps(Code(done)))  # what NumPy would take for a pickle
    assert f"v.{name} is no" in refused(name, path)
    assert not done.exists()


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 2, 4, 5), np.int16), "v.npy holds int16, and displacements are floats"),
        (np.zeros((3, 4, 5), np.float32), "has the shape (3, 4, 5)"),
        (np.zeros((3, 2, 4, 2), np.float32), "has the shape (3, 2, 4, 2)"),
        (np.zeros(7), "has the shape (7,)"),
        (np.asfortranarray(np.zeros((3, 2, 4, 5))), "is in Fortran's order"),
        (np.zeros((3, 2, 0, 5)), "says that it has 5x0 pixels"),
    ],
    ids=["integers", "no channels", "two axes of two", "a vector", "Fortran", "empty"],
)
def test_an_array_that_is_no_flow_is_refused(tmp_path, array, reason):
    np.save(tmp_path / "v.npy", array)
    assert reason in refused("npy", tmp_path / "v.npy")


@pytest.mark.parametrize(
    "shape",
    [
        b"(3, 2, True,",
        b"(((((((((((",
        b"-3, 2, 4, 5",
        b"3, 2, 4, 5.",
        b"[[[[[[[[[[[",
        b"\0\xff, 4, 5)a",
    ],
)
def test_an_array_whose_header_is_damaged_is_refused_when_it_is_its_turn(tmp_path, shape):
    path = tmp_path / "v.npy"
    np.save(path, np.zeros((3, 2, 4, 5), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(3, 2, 4, 5)", shape.ljust(12)))
    assert format_named("npy").video_of(path, tmp_path) == "v"
    assert re.fullmatch("v.npy (is no array of NumPy|has the shape).*", refused("npy", path))


@pytest.mark.filterwarnings("error")
def test_displacements_that_are_too_large_for_a_float_are_not_known(tmp_path):
    array = np.zeros((1, 2, 4, 5))
    array[0, 1, 2, 3] = 1e300
    np.save(tmp_path / "v.npy", array)
    (field,) = read("npy", tmp_path / "v.npy")
    assert np.argwhere(~np.isfinite(field)).tolist() == [[1, 2, 3]]


def test_an_array_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, np.zeros((3, 2, 4, 5), np.float32))
    path.write_bytes(path.read_bytes()[:-1])
    assert refused("npy", path) == "v.npy ends in field 2 of 3"
    path.write_bytes(path.read_bytes()[:30])
    assert "v.npy is no array of NumPy" in refused("npy", path)


def test_an_archive_without_the_array_or_with_damage_is_refused(tmp_path):
    path = tmp_path / "v.npz"
    np.savez(path, a=np.zeros(3), b=np.zeros(3))
    assert "holds 2 arrays: name the one with the flow `flow`" in refused("npz", path)
    np.savez(path, flow=np.zeros((3, 2, 40, 50), np.float32))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert "v.npz is no .npz file, or damaged" in refused("npz", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("flow.npy", b"nothing")
    assert "v.npz is no array of NumPy" in refused("npz", path)


def _whole(file, name, shape=(4, 5)):
    file.create_dataset(name, data=np.zeros(shape, np.float32))


def _link(file):
    _whole(file, "flow_y_00000")
    file["flow_x_00000"] = h5py.ExternalLink("/etc/passwd", "x")


def _virtual(file):
    _whole(file, "flow_y_00000")
    layout = h5py.VirtualLayout((4, 5), np.float32)
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (4, 5))
    file.create_virtual_dataset("flow_x_00000", layout)


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (lambda file: _whole(file, "other"), "holds no data sets flow_x_… and flow_y_…"),
        (lambda file: _whole(file, "flow_x_00000"), "1 fields of dx and 0 of dy"),
        (_link, "flow_x_00000 is a link to something else"),
        (_virtual, "flow_x_00000 is no data set of floats (H, W) in this file"),
        (
            lambda file: [_whole(file, f"flow_{c}_00000", (4, 5, 1)) for c in "xy"],
            "flow_x_00000 is no data set of floats",
        ),
        (
            lambda file: [_whole(file, f"flow_{c}_00000", (4, 5 + (c == "x"))) for c in "xy"],
            "cannot be read: all input arrays must have the same shape",
        ),
    ],
    ids=["other", "dx alone", "a link", "virtual", "three axes", "two sizes"],
)
def test_an_hdf5_file_that_is_none_of_denseflows_is_refused(tmp_path, fill, reason):
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        fill(file)
    assert reason in refused("h5", path)


def test_what_is_no_hdf5_file_is_refused_and_so_are_two_of_a_video(tmp_path):
    path = tmp_path / "v.h5"
    path.write_bytes(b"nothing")
    assert "v.h5 cannot be read" in refused("h5", path)
    assert "v.h5 and v_p2.h5 are flow of one video" in refused("h5", tmp_path / "v_p2.h5", path)


@pytest.mark.parametrize(
    ("wrong", "parameter"),
    [
        ({"bound": 0}, "bound"),
        ({"frame_step": 0}, "frame_step"),
        ({"jpeg_quality": 0}, "jpeg_quality"),
    ],
)
def test_conventions_that_cannot_be_are_refused(wrong, parameter):
    with pytest.raises(UserError) as caught:
        Convention(**wrong)
    assert caught.value.parameter == parameter


def test_a_format_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(UserError, match="no format 'avi': choose from flo, h5, jpeg") as caught:
        format_named("avi")
    assert caught.value.parameter == "format_name"
