"""Every format against readers and writers that have nothing of ours."""

import cv2
import flow_readers
import h5py
import middlebury
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcache.errors import UserError
from flowcache.exchange.contract import Convention, format_named, names
from flowcache.exchange.formats._pairs import to_pictures

PRECISION = {"jpeg": None, "kitti": 1 / 128, "png": 20 / 255}
"""The largest error inside ± 20 px; 0 where a format is not named."""


def files_of(root, name):
    found = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        if (identifier := format_named(name).video_of(path, root)) is not None:
            found.setdefault(identifier, []).append(path)
    return found


def written(root, name, flow, **convention):
    convention = Convention(**convention)
    format_named(name).write(root / "a" / "v.1", iter(flow), len(flow), convention)
    return root / "a" / "v.1"


def read_again(root, name, **convention):
    ((identifier, files),) = files_of(root, name).items()
    assert identifier == "a/v.1"
    fields = list(format_named(name).read(files, Convention(**convention)))
    assert {field.dtype for field in fields} == {np.dtype(np.float32)}
    return np.stack(fields)


@pytest.mark.parametrize("name", names())
def test_what_is_written_is_what_others_read_and_what_is_read_again(name, tmp_path, flow):
    theirs = flow_readers.read(written(tmp_path, name, flow), name, 20.0)
    ours = read_again(tmp_path, name)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    bounded = np.clip(flow, -20, 20) if format_named(name).NEEDS_BOUND else flow
    error = np.abs(ours - bounded).max()
    if name == "jpeg":
        assert error > 20 / 255
        assert np.abs(ours - bounded).mean() < 0.25
    else:
        assert error <= PRECISION.get(name, 0.0) + 2e-6


@pytest.mark.parametrize("name", sorted(set(names()) - {"jpeg"}))
def test_what_was_read_is_written_as_it_was(name, tmp_path, flow):
    written(tmp_path / "1", name, flow)
    once = read_again(tmp_path / "1", name)
    written(tmp_path / "2", name, once)
    np.testing.assert_array_equal(read_again(tmp_path / "2", name), once)


@given(
    st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=40),
    st.sampled_from([15.0, 20.0, 32.0, 7.3]),
)
def test_pictures_hold_the_values_that_dense_flow_writes(values, bound):
    def cast(v):  # `cvRound` rounds halves to even, and so does Python
        return 255 if v > bound else 0 if v < -bound else round(255 * (v + bound) / (bound + bound))

    codes = to_pictures(np.array([values], np.float32), bound)
    assert codes.tolist() == [[cast(float(np.float32(v))) for v in values]]


def test_a_picture_is_read_as_the_middle_of_what_is_written_so(tmp_path):
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for axis in "xy":
        cv2.imwrite(str(tmp_path / f"flow_{axis}_00001.png"), codes)
    (field,) = format_named("png").read(sorted(tmp_path.iterdir()), Convention(bound=20.0))
    np.testing.assert_allclose(field[0], codes / 255 * 40 - 20, atol=2e-6)
    np.testing.assert_array_equal(to_pictures(field[0], 20.0), codes)


@pytest.mark.parametrize("scene", ["Venus", "RubberWhale"])
def test_measured_flow_of_middlebury_is_read_as_it_is(scene, data):
    path = data / "middlebury" / scene / "flow10.flo"
    (field,) = format_named("flo").read([path], Convention())
    truth, known = middlebury.truth(data, scene)
    np.testing.assert_array_equal(np.isnan(field).any(0), ~known)
    np.testing.assert_array_equal(field[:, known], truth[:, known])
    np.testing.assert_array_equal(
        cv2.readOpticalFlow(str(path))[known], field.transpose(1, 2, 0)[known]
    )


def test_opencvs_flo_files_are_read(tmp_path, flow):
    for number, field in enumerate(flow):
        path = tmp_path / f"{number}.flo"
        assert cv2.writeOpticalFlow(str(path), np.ascontiguousarray(field.transpose(1, 2, 0)))
    fields = list(format_named("flo").read(list(tmp_path.iterdir()), Convention()))
    np.testing.assert_array_equal(fields, flow)


def test_pixels_that_kitti_does_not_know_are_no_numbers(tmp_path):
    picture = np.full((4, 6, 3), 2**15 + 64, np.uint16)
    picture[..., 0] = 1
    picture[1, 2] = 0
    cv2.imwrite(str(tmp_path / "000001.png"), picture)
    (field,) = format_named("kitti").read([tmp_path / "000001.png"], Convention())
    assert np.isnan(field[:, 1, 2]).all()
    assert np.count_nonzero(np.isnan(field)) == 2
    assert np.nanmin(field) == np.nanmax(field) == 1.0


@pytest.mark.parametrize("save", [np.save, lambda path, a: np.savez(path, a)], ids=["npy", "npz"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1)], ids=["channels first", "last"])
def test_arrays_are_read_with_their_channels_first_or_last(tmp_path, flow, save, dtype, axes):
    save(tmp_path / "v", flow.transpose(axes).astype(dtype).copy())
    (path,) = tmp_path.iterdir()
    fields = list(format_named(path.suffix[1:]).read([path], Convention()))
    np.testing.assert_array_equal(fields, flow.astype(dtype).astype(np.float32))


def test_arrays_of_a_field_each_are_read_in_the_order_of_their_numbers(tmp_path, flow):
    for number, field in enumerate(flow, 8):
        (tmp_path / "a" / "v").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "a" / "v" / f"{number}.npy", field)
    ((identifier, files),) = files_of(tmp_path, "npy").items()
    assert identifier == "a/v"
    np.testing.assert_array_equal(list(format_named("npy").read(files, Convention())), flow)


NAMINGS = {
    "dense_flow": ("a/v1/flow_x_{:05}.jpg", "a/v1/flow_y_{:05}.jpg"),
    "without a word": ("a/v1/x_{:04}.jpg", "a/v1/y_{:04}.jpg"),
    "Feichtenhofer": ("u/a/v1/frame{:06}.jpg", "v/a/v1/frame{:06}.jpg"),
    "gpu_flow": ("x/a/v1/frame{:06}.jpg", "y/a/v1/frame{:06}.jpg"),
    "folders within": ("a/v1/u/{:06}.jpg", "a/v1/v/{:06}.jpg"),
    "a class named x": ("u/x/v1/frame{:06}.jpg", "v/x/v1/frame{:06}.jpg"),
}


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("first", [0, 1])
def test_pairs_are_found_by_their_names(naming, first, tmp_path, flow):
    names = [name.replace("jpg", "png") for name in NAMINGS[naming]]
    flow_readers.write_pictures(tmp_path, flow, 20, names, first)
    (tmp_path / "img_00001.png").write_bytes(b"a frame")
    ((identifier, files),) = files_of(tmp_path, "png").items()
    assert identifier == ("x/v1" if "class" in naming else "a/v1")
    fields = np.stack(list(format_named("png").read(files, Convention(bound=20))))
    np.testing.assert_allclose(fields, np.clip(flow, -20, 20), atol=20 / 255 + 1e-5)
    assert not files_of(tmp_path, "kitti")


def test_denseflows_marks_of_a_step_are_read_and_written(tmp_path, flow):
    names = ("a/v1/flow_x_p2_{:05}.png", "a/v1/flow_y_p2_{:05}.png")
    flow_readers.write_pictures(tmp_path, flow, 20, names, 0)
    files = files_of(tmp_path, "png")["a/v1"]
    assert len(list(format_named("png").read(files, Convention(frame_step=2)))) == 5
    with pytest.raises(UserError, match="flow of step 2, and not of 1: give that step"):
        list(format_named("png").read(files, Convention()))
    written(tmp_path, "h5", flow, frame_step=3)
    with h5py.File(tmp_path / "a" / "v.1_p3.h5") as file:
        assert sorted(file)[0] == "flow_x_p3_00000"
    np.testing.assert_array_equal(read_again(tmp_path, "h5", frame_step=3), flow)


def test_a_name_that_ends_like_a_step_is_the_videos_own_where_its_flow_has_no_such_mark(
    tmp_path, flow
):
    for name in ("run_p1", "run_p2", "run_m1"):  # of participants, as it may be
        format_named("h5").write(tmp_path / name, iter(flow), len(flow), Convention())
    assert sorted(files_of(tmp_path, "h5")) == ["run_m1", "run_p1", "run_p2"]
    (tmp_path / "torn_p2.h5").write_bytes(b"")
    assert "torn_p2" in files_of(tmp_path, "h5")


def test_flow_back_in_time_is_refused(tmp_path, flow):
    names = ("a/v1/flow_x_m1_{:05}.png", "a/v1/flow_y_m1_{:05}.png")
    flow_readers.write_pictures(tmp_path, flow, 20, names, 1)
    with pytest.raises(UserError, match="is flow back in time"):
        list(format_named("png").read(files_of(tmp_path, "png")["a/v1"], Convention()))


def test_kitti_refuses_to_write_what_it_cannot_hold(tmp_path, flow):
    flow[3, 0, 0, 0] = 512
    with pytest.raises(UserError, match="field 4 has displacements beyond ± 512 px"):
        written(tmp_path, "kitti", flow)
