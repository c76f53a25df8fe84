import itertools

import av
import made_videos as made
import numpy as np
import pytest

from flowcache.video.ffmpeg_log import logged_errors
from flowcache.video.resize import Resize

whole_formats = pytest.mark.parametrize("how", made.WHOLE_FORMATS, ids=str)


# Files that are broken


def test_a_file_that_ends_in_the_middle_says_where_and_yields_what_came_before(data):
    rgb, _, reason = made.decode(data / "odd" / "corrupted.mp4", Resize(64))
    assert len(rgb) == 28
    assert "at frame 28 " in reason
    assert "(2.70 s)" in reason


def test_what_is_no_video_is_named_so(data, tmp_path):
    assert "not a readable video" in made.decode(data / "odd" / "bad_video.mp4")[2]
    for name, content in [("empty.mp4", b""), ("text.avi", b"not a video at all\n" * 99)]:
        (tmp_path / name).write_bytes(content)
        assert "not a readable video" in made.decode(tmp_path / name)[2]
    assert "not a readable video" in made.decode(tmp_path / "absent.mp4")[2]
    assert "not a readable video" in made.decode(tmp_path)[2]


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    assert made.decode(path)[2] == "it holds no video stream"


def test_a_picture_that_changes_its_size_is_an_error_that_names_both(tmp_path):
    path = made.write_changing_size(tmp_path / "v.avi", [(48, 64), (32, 40)], each=5)
    rgb, _, reason = made.decode(path)
    assert len(rgb) == 5
    assert "from 64x48 to 40x32" in reason


def cut_at(path, position, folder):
    cut = folder / f"cut{path.suffix}"
    cut.write_bytes(path.read_bytes()[:position])
    return cut


def check_cut(path, whole, position, folder):
    rgb, times, reason = made.decode(cut_at(path, position, folder))
    if not reason:
        np.testing.assert_array_equal(rgb, whole)
        return
    # What is kept of it with --keep-partial is its beginning, without a gap.
    np.testing.assert_array_equal(rgb, whole[: len(rgb)])
    assert len(rgb) <= len(whole)
    if rgb:
        assert f"at frame {len(rgb)} ({times[-1]:.2f} s)" in reason


@whole_formats
def test_a_file_cut_between_two_packets_is_an_error_and_never_a_shorter_video(
    videos, tmp_path, how
):
    path = videos(how)
    whole, _, _ = made.decode(path)
    ends = made.packet_ends(path)
    assert len(ends) == made.COUNT
    for position in ends[:-1]:
        check_cut(path, whole, position, tmp_path)
        assert made.decode(cut_at(path, position, tmp_path))[2], position


@whole_formats
def test_a_file_cut_anywhere_is_an_error_and_never_a_shorter_video(videos, tmp_path, how):
    path = videos(how)
    whole, _, _ = made.decode(path)
    size = path.stat().st_size
    positions = {0, 1, 11, 12, 40, size - 1, *np.linspace(2, size - 2, 60).astype(int).tolist()}
    for position in sorted(positions):
        check_cut(path, whole, position, tmp_path)


@pytest.mark.parametrize("name", ["clips/bikes.mp4", "odd/testsrc2_vp9.webm", "odd/video_90.mov"])
def test_real_files_cut_between_two_packets_are_errors(data, tmp_path, name):
    ends = made.packet_ends(data / name)
    for position in ends[:: max(1, len(ends) // 4)][:-1]:
        assert made.decode(cut_at(data / name, position, tmp_path), Resize(32))[2]


def complains(path):
    """Does FFmpeg report an error while it decodes with its defaults?"""
    with logged_errors() as errors:
        try:
            made.decode_plainly(path)
        except (av.FFmpegError, OSError, ValueError, AttributeError):
            return True
    return bool(errors)


@pytest.mark.parametrize(
    "how",
    [
        made.MPEG4_AVI,
        made.MJPEG_AVI,
        made.H264_MP4,
        made.MPEG4_MOV,
        made.MPEG2_MPG,
        made.FFV1_MKV,
    ],
    ids=str,
)
def test_damage_that_the_codec_notices_is_an_error_and_never_silently_a_wrong_frame(
    videos, tmp_path, how
):
    path = videos(how)
    whole, _, _ = made.decode(path)
    raw, ends = path.read_bytes(), made.packet_ends(path)
    random = np.random.default_rng(7)
    noticed = 0
    for _ in range(60):
        damaged = bytearray(raw)
        at = int(random.integers(ends[0], ends[-1]))
        damaged[at] ^= int(random.integers(1, 256))
        broken = tmp_path / f"damaged{path.suffix}"
        broken.write_bytes(damaged)
        rgb, _, reason = made.decode(broken)
        if reason or np.array_equal(rgb, whole):
            continue
        assert not complains(broken), f"byte {at} is damaged and went unnoticed"
        noticed += 1
    assert noticed < 60, "not one damage was an error"


def test_a_longer_stretch_of_damage_in_mpeg4_is_always_an_error(videos, tmp_path):
    path = videos(made.MPEG4_AVI)
    raw, ends = path.read_bytes(), made.packet_ends(path)
    random = np.random.default_rng(1)
    for start, end in itertools.pairwise(ends):
        if end - start < 200:
            continue
        damaged = bytearray(raw)
        middle = (start + end) // 2
        damaged[middle : middle + 60] = random.bytes(60)
        broken = tmp_path / "damaged.avi"
        broken.write_bytes(damaged)
        assert made.decode(broken)[2]
