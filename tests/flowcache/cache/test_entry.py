import hashlib
import json
import multiprocessing
import pickle
import subprocess
import sys

import cv2
import made_entries as entries
import made_videos as made
import numpy as np
import pytest
import stub_decoders as stubs

from flowcache.cache.entry import Entry, EntryInfo, Source
from flowcache.extraction.one import Job, extract_video


def rounded(flow, recipe):
    """Codes as one would compute them by hand, in double precision."""
    codes = np.rint(flow.astype(float) / recipe.quantizer_step)
    return np.clip(codes, -recipe.quantizer.levels, recipe.quantizer.levels).astype(int)


# What is written is read back


@pytest.mark.parametrize("step", [20 / 127, 0.25, 20 / 2000], ids=["int8", "quarter", "int16"])
@pytest.mark.parametrize("shape", [(45, 61), (1, 1), (3, 200), (64, 64)])
@pytest.mark.parametrize("scale", [0, 5, 60])
def test_flow_comes_back_as_the_nearest_codes(tmp_path, recipe, step, shape, scale):
    made_by = recipe(quantizer_step=step)
    flow = entries.smooth_flow(5, *shape, scale)
    frames = np.zeros((6, *shape, 3), np.uint8)
    info = entries.write(tmp_path / "v.h5", made_by, flow, frames, batches=2)
    entry = Entry(tmp_path / "v.h5")
    codes = entry.codes(range(5))
    expected = rounded(flow, made_by)
    assert codes.dtype == made_by.quantizer.dtype
    # Single precision may decide a tie otherwise, and nothing else.
    different = codes != expected
    assert np.abs(codes - expected).max() <= 1
    fraction = np.abs(flow.astype(float) / step) % 1
    np.testing.assert_allclose(fraction[different], 0.5, atol=2e-3)
    np.testing.assert_allclose(entry.flow(range(5)).data, codes * step, rtol=1e-6)
    means = (codes.astype(float) * step).mean((2, 3))
    np.testing.assert_allclose(entry.flow_means(), means, atol=1e-5)
    beyond = np.abs(flow) > (made_by.quantizer.levels + 0.5) * step
    assert info.saturated == pytest.approx(beyond.sum(), abs=int(different.sum()))
    assert info.saturated_share == pytest.approx(info.saturated / flow.size)
    assert entry.verify() == info


@pytest.mark.parametrize("batches", [1, 2, 5, 8])
def test_how_it_was_batched_does_not_show(tmp_path, recipe, rgb, batches):
    flow = entries.smooth_flow(8, 45, 61)
    entries.write(tmp_path / "one.h5", recipe(), flow, rgb)
    entries.write(tmp_path / "more.h5", recipe(), flow, rgb, batches=batches)
    one, more = Entry(tmp_path / "one.h5"), Entry(tmp_path / "more.h5")
    np.testing.assert_array_equal(one.codes(range(8)), more.codes(range(8)))
    np.testing.assert_array_equal(one.rgb(range(9)), more.rgb(range(9)))
    np.testing.assert_array_equal(one.times(), more.times())
    assert one.info() == more.info()


def test_the_same_content_is_the_same_file(tmp_path, recipe, rgb):
    flow = entries.smooth_flow(8, 45, 61)
    for name in ("one.h5", "two.h5"):
        entries.write(tmp_path / name, recipe(), flow, rgb)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_fields_and_frames_come_in_the_order_asked_for(entry_path):
    entry = Entry(entry_path)
    codes, rgb = entry.codes(range(8)), entry.rgb(range(9))
    for wanted in ([3], [7, 0, 3], [2, 2], [], np.array([5, 1])):
        assert entry.codes(wanted).shape == (len(wanted), 2, 45, 61)
        np.testing.assert_array_equal(entry.codes(wanted), codes[list(wanted)])
        np.testing.assert_array_equal(entry.rgb(wanted), rgb[list(wanted)])


@pytest.mark.parametrize(("quality", "error"), [(100, 1.5), (95, 2.0), (90, 3.0), (50, 7.0)])
def test_frames_come_back_near_the_originals(tmp_path, recipe, rgb, quality, error):
    entries.write(
        tmp_path / "v.h5", recipe(jpeg_quality=quality), entries.smooth_flow(8, 45, 61), rgb
    )
    back = Entry(tmp_path / "v.h5").rgb(range(9))
    assert back.shape == rgb.shape
    for channel in range(3):  # each, so that red and blue cannot have changed places
        assert np.abs(back[..., channel].astype(int) - rgb[..., channel]).mean() < error
    assert np.abs(back[..., 0].astype(int) - rgb[..., 2]).mean() > 15


def test_the_info_holds_what_the_writer_was_told(tmp_path, recipe, rgb):
    made_by = recipe("tvl1", {"lambda": 0.2})
    flow = entries.smooth_flow(8, 45, 61)
    written = entries.write(tmp_path / "v.h5", made_by, flow, rgb, partial="it broke at frame 9")
    info = Entry(tmp_path / "v.h5").info()
    assert info == written
    assert (info.recipe, info.source) == (made_by, entries.SOURCE)
    assert (info.original_width, info.original_height) == (99, 77)
    assert (info.width, info.height, info.frames, info.fields) == (61, 45, 9, 8)
    assert (info.frame_rate, info.times_from) == (25.0, "container")
    assert info.partial == "it broke at frame 9"
    assert EntryInfo.from_json(info.to_json()) == info


@pytest.mark.parametrize(
    ("times", "rate", "expected", "source"),
    [
        ([0.1, 0.2, 0.9], None, [0.1, 0.2, 0.9], "container"),
        ([0.1, 0.3, 0.2], made.Fraction(10), [0.1, 0.2, 0.3], "frame rate"),
        ([np.nan] * 3, made.Fraction(10), [0.0, 0.1, 0.2], "frame rate"),
        ([np.nan] * 3, None, [0.0, 0.04, 0.08], "frame rate"),
    ],
)
def test_stored_times_rise(tmp_path, recipe, rgb, times, rate, expected, source):
    flow = entries.smooth_flow(2, 45, 61)
    entries.write(tmp_path / "v.h5", recipe(), flow, rgb[:3], np.array(times), rate=rate)
    entry = Entry(tmp_path / "v.h5")
    np.testing.assert_allclose(entry.times(), expected)
    assert entry.info().times_from == source
    assert entry.info().frame_rate == (rate or 0)
    entry.verify()


# One video from end to end, against the same by hand


def by_hand(path, step, recipe):
    """Decode, compute and round with nothing of ours."""
    frames = made.decode_plainly(path)
    gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]
    solver = cv2.FarnebackOpticalFlow.create(
        numLevels=5, pyrScale=0.5, winSize=13, numIters=10, polyN=5, polySigma=1.1
    )
    flow = [solver.calc(gray[t], gray[t + step], None) for t in range(len(gray) - step)]
    return frames, np.moveaxis(np.stack(flow), 3, 1)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("most", [1, 48 * 64 * 2, 48 * 64 * 5, 10**9], ids="batch{}".format)
def test_each_field_is_the_flow_from_its_frame_to_that_a_step_later(
    tmp_path, recipe, monkeypatch, step, most
):
    moving = made.moving_scene(11, 48, 64, 1.3, -0.7)
    path = made.write_video(tmp_path / "v.avi", moving)
    made_by = recipe(frame_step=step)

    class Batched(stubs.Video):
        def frames(self, resize):
            return super().frames(resize, batch_pixels=most)

    info = extract_video(Job(path, "v.avi", tmp_path / "v.h5"), made_by, decode=Batched)
    frames, flow = by_hand(path, step, made_by)
    entry = Entry(tmp_path / "v.h5")
    assert (info.frames, info.fields) == (11, 11 - step)
    assert entry.codes(range(info.fields)).shape == flow.shape
    np.testing.assert_allclose(
        entry.codes(range(info.fields)), rounded(flow, made_by), atol=1 if step > 1 else 0
    )
    # And it is the motion that was put in, per step.
    median = np.median(entry.flow(range(info.fields)).data[..., 12:-12, 12:-12], (0, 2, 3))
    np.testing.assert_allclose(median, [1.3 * step, -0.7 * step], atol=0.15)
    assert np.abs(entry.rgb(range(11)).astype(int) - frames).mean() < 3
    np.testing.assert_allclose(entry.times(), np.arange(11) / 25, atol=1e-6)
    assert info.source == Source.of(path, "v.avi")
    assert info.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.source.size_bytes == path.stat().st_size
    assert entry.verify() == info


def test_a_resized_entry_says_both_sizes_and_its_flow_is_in_stored_pixels(tmp_path, recipe):
    path = made.write_video(tmp_path / "v.avi", made.moving_scene(6, 128, 192, 4.0, 0.0))
    info = extract_video(Job(path, "v.avi", tmp_path / "v.h5"), recipe(size="64"))
    assert (info.original_width, info.original_height) == (192, 128)
    assert (info.width, info.height) == (96, 64)
    flow = Entry(tmp_path / "v.h5").flow(range(5)).data
    assert flow.shape == (5, 2, 64, 96)
    np.testing.assert_allclose(np.median(flow, (0, 2, 3)), [2.0, 0.0], atol=0.15)


def test_a_source_is_the_same_as_long_as_its_bytes_are(tmp_path):
    import os

    path = tmp_path / "v.avi"
    path.write_bytes(b"0123456789")
    source = Source.of(path, "v.avi")
    assert source.is_still(path)
    os.utime(path, ns=(1, 1))
    assert source.is_still(path)  # only touched
    path.write_bytes(b"012345678x")
    os.utime(path, ns=(1, 1))
    assert not source.is_still(path)
    path.write_bytes(b"0123456789x")
    assert not source.is_still(path)


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
        "means": list(file["flow_mean"].shape), "units": file["times"].attrs["units"],
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


def expected_sums(path, indices):
    entry = Entry(path)
    sums = [
        (i, int(entry.codes([i]).astype(int).sum()), int(entry.rgb([i]).astype(int).sum()))
        for i in indices
    ]
    entry.close()
    return sorted(sums)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_open_entry_can_be_read_by_other_processes_at_once(entry_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    context = multiprocessing.get_context(method)
    expected = expected_sums(entry_path, range(8))
    entry = Entry(entry_path)
    entry.codes([0])  # open before the others start
    replies = context.Queue()
    children = [
        context.Process(target=stubs.read_entry, args=(entry, list(range(8)), 20, replies))
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
    codes = entry.codes([3])
    assert pickle.dumps(entry) == closed
    np.testing.assert_array_equal(pickle.loads(closed).codes([3]), codes)


def test_a_closed_entry_opens_again(entry_path):
    entry = Entry(entry_path)
    entry.close()
    codes = entry.codes([1])
    entry.close()
    entry.close()
    np.testing.assert_array_equal(entry.codes([1]), codes)


def test_an_entry_can_be_read_where_nothing_can_be_written(entry_path):
    entry_path.chmod(0o444)
    entry_path.parent.chmod(0o555)
    try:
        Entry(entry_path).verify()
    finally:
        entry_path.parent.chmod(0o755)
