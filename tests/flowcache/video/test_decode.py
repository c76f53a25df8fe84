import itertools

import av
import cv2
import made_videos as made
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcache.video.decode import Video, display_times
from flowcache.video.resize import Resize

formats = pytest.mark.parametrize("how", made.ALL_FORMATS, ids=str)


# What comes out of an intact file


@formats
def test_every_frame_comes_out_once_in_display_order_with_its_time(videos, how):
    rgb, times, reason = made.decode(videos(how))
    assert not reason
    assert made.numbers(rgb) == list(range(made.COUNT))
    np.testing.assert_allclose(np.diff(times), 1 / 25, atol=0.002)


def test_lossless_frames_come_out_exactly_and_in_rgb_order(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (7, 33, 47, 3)).astype(np.uint8)
    path = made.write_video(tmp_path / "v.mkv", frames, made.FFV1_MKV)
    rgb, _, _ = made.decode(path)
    np.testing.assert_array_equal(rgb, frames)


ODD_BUT_WHOLE = [
    ("filename with spaces and '_half_res.mp4", 324),
    ("h265_video.mp4", 10),
    ("nasa_13013_rotated.mp4", 17),
    ("person01_handclapping_d1_uncomp (1).mp4", 378),
    ("testsrc2_444_10bit_hevc.mp4", 25),
    ("testsrc2_mpeg4.mp4", 1),
    ("testsrc2_odd_height_and_width_mpeg2.mp4", 10),
    ("testsrc2_vp9.webm", 30),
    ("tree.avi", 68),
    ("video_0.mov", 3),
    ("video_270.mov", 3),
    ("video_90.mov", 3),
]


@pytest.mark.parametrize(("name", "count"), ODD_BUT_WHOLE)
def test_odd_files_decode_to_the_upright_frames_that_opencv_decodes(data, name, count):
    path = data / "odd" / name
    capture = cv2.VideoCapture(str(path))
    seen = 0
    with Video(path) as video:
        for rgb in itertools.chain.from_iterable(video.frames(made.FULL)):
            _, bgr = capture.read()
            assert rgb.shape == bgr.shape
            if seen % 5 == 0:
                assert np.abs(rgb.astype(int) - bgr[..., ::-1]).mean() < 2
            seen += 1
        height, width = rgb.shape[:2]
        assert video.size == (width, height)
    assert seen == count
    assert not capture.read()[0]


def test_a_container_that_promises_too_many_frames_is_still_whole(data):
    with Video(data / "odd" / "tree.avi") as video:
        assert video.expected_frames == 444
        assert sum(map(len, video.frames(Resize(32)))) == 68


# Rotation


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("resize", [made.FULL, Resize(24), Resize(exact=(50, 30))], ids=str)
def test_rotated_videos_come_out_upright(tmp_path, turns, resize):
    frames = made.numbered_frames(4, 48, 72)
    path = made.write_video(tmp_path / "v.mp4", frames, made.H264_MP4)
    plain = made.decode_plainly(path)
    made.turn_mp4(path, turns)
    rgb, _, _ = made.decode(path, resize)
    width, height = resize.of(*[(72, 48), (48, 72)][turns % 2])
    for frame, stored in zip(rgb, plain, strict=True):
        upright = cv2.resize(
            np.rot90(stored, -turns), (width, height), interpolation=cv2.INTER_AREA
        )
        assert frame.shape == (height, width, 3)
        assert np.abs(frame.astype(int) - upright).mean() < (0.01 if resize is made.FULL else 4)
        for wrong in {0, 1, 2, 3} - {turns}:
            other = cv2.resize(np.rot90(stored, -wrong), (width, height))
            assert np.abs(frame.astype(int) - other).mean() > 12


@pytest.mark.parametrize(
    ("name", "turns"),
    [("video_0.mov", 0), ("video_90.mov", 3), ("video_270.mov", 1), ("nasa_13013_rotated.mp4", 1)],
)
def test_recorded_rotations_are_the_raw_frames_turned(data, name, turns):
    rgb, _, _ = made.decode(data / "odd" / name)
    raw = made.decode_plainly(data / "odd" / name)
    np.testing.assert_array_equal(rgb, np.rot90(raw, turns, axes=(1, 2)))


# Time stamps


def test_irregular_but_rising_times_are_kept():
    stamps = np.array([0.5, 0.51, 0.9, 4.0])
    times, source = display_times(stamps, made.Fraction(25))
    np.testing.assert_array_equal(times, stamps)
    assert source == "container"


@given(
    st.lists(st.one_of(st.just(float("nan")), st.floats(-10, 1e5)), min_size=1, max_size=30),
    st.sampled_from([None, made.Fraction(25), made.Fraction(30000, 1001)]),
)
def test_times_always_rise_and_are_finite(stamps, rate):
    times, source = display_times(np.array(stamps), rate)
    assert len(times) == len(stamps)
    assert np.isfinite(times).all()
    assert (np.diff(times) > 0).all()
    rising = np.isfinite(stamps).all() and (np.diff(stamps) > 0).all()
    assert source == ("container" if rising else "frame rate")


def test_times_that_run_back_are_counted_at_the_frame_rate_instead():
    times, source = display_times(np.array([0.2, 0.4, 0.3, 0.5]), made.Fraction(10))
    np.testing.assert_allclose(times, [0.2, 0.3, 0.4, 0.5])
    assert source == "frame rate"


CLIPS_THAT_RUN_BACK = [
    "ut_interaction/videos/handshake/seq01_04.avi",
    "ucf101/videos/Archery/v_Archery_g09_c01.avi",
]


@pytest.mark.parametrize("name", CLIPS_THAT_RUN_BACK)
def test_clips_whose_stamps_run_back_have_their_frames_in_order(data, name):
    rgb, stamps, reason = made.decode(data / name, Resize(60))
    assert not reason
    assert (np.diff(stamps) < 0).any(), "this clip no longer shows what it is here for"
    plain = made.decode_plainly(data / name)
    assert len(rgb) == len(plain)
    # In order means that neighbours look alike: every other order of the same frames moves more.
    gray = np.stack(rgb).astype(float).mean(3)
    by_stamp = gray[np.argsort(stamps, kind="stable")]
    assert np.abs(np.diff(gray, axis=0)).mean() < np.abs(np.diff(by_stamp, axis=0)).mean()
    with Video(data / name) as video:
        times, source = display_times(np.array(stamps), video.rate)
    assert source == "frame rate"
    assert (np.diff(times) > 0).all()


# Other oddities


WITHOUT_CHECKSUMS = made.Format(".mkv", "libx264", container_options={"write_crc32": "0"})


@pytest.mark.parametrize(
    "how", [made.MPEG4_AVI, made.H264_MP4, WITHOUT_CHECKSUMS, made.MPEG4_MOV], ids=str
)
def test_a_title_that_is_no_text_is_no_reason_to_refuse_the_pictures(tmp_path, how):
    frames = made.numbered_frames(5)
    path = made.write_video(tmp_path / f"v{how.suffix}", frames, how, title="MARKMARKMARK")
    raw = path.read_bytes()
    assert raw.count(b"MARKMARKMARK") == 1
    path.write_bytes(raw.replace(b"MARKMARKMARK", b"\xff\xfe\x80\xc3(\xa0\xa1\xe2(\xa1\xff\xff"))
    with pytest.raises(UnicodeDecodeError):  # so the file shows what it is here for
        av.open(str(path))
    rgb, _, reason = made.decode(path)
    assert not reason
    assert made.numbers(rgb) == list(range(5))


@pytest.mark.parametrize("name", ["it's [1] {x} %d.avi", "-dash.avi", "ünï 日本.avi", "a:b.avi"])
def test_any_file_name_will_do(tmp_path, monkeypatch, name):
    made.write_video(tmp_path / "v.avi", made.numbered_frames(3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, (tmp_path / name).relative_to(tmp_path)):
        rgb, _, reason = made.decode(path)
        assert not reason, path
        assert made.numbers(rgb) == [0, 1, 2]


def test_batches_are_bounded_and_say_the_same_whatever_their_size(tmp_path):
    path = made.write_video(tmp_path / "v.avi", made.numbered_frames(50))
    pixels = 48 * 72
    whole, all_times, _ = made.decode(path)
    for most in (1, pixels, 3 * pixels, 7 * pixels + 1, 10**9):
        with Video(path) as video:
            batches = list(video.frames(made.FULL, batch_pixels=most))
        assert all((len(b) - 1) * pixels < most for b in batches)
        assert all((len(b) + 1) * pixels > most for b in batches[:-1])
        np.testing.assert_array_equal(np.concatenate([b.rgb for b in batches]), whole)
        np.testing.assert_array_equal(np.concatenate([b.times for b in batches]), all_times)


def test_frames_are_decoded_as_they_are_asked_for(tmp_path):
    path = made.write_video(tmp_path / "v.avi", made.numbered_frames(60))
    raw = bytearray(path.read_bytes())
    ends = made.packet_ends(path)
    raw[ends[40] : ends[50]] = bytes(ends[50] - ends[40])  # what comes late is broken
    path.write_bytes(raw)
    with Video(path) as video:
        batches = video.frames(made.FULL, batch_pixels=48 * 72 * 5)
        early = [next(batches) for _ in range(4)]
    assert made.numbers(np.concatenate([b.rgb for b in early])) == list(range(20))
