import logging
import threading

import av
import made_videos as made
import numpy as np
import pytest

from flowcache.video.decode import BrokenVideoError, Video
from flowcache.video.ffmpeg_log import logged_errors


@pytest.fixture(params=[None, av.logging.FATAL, av.logging.ERROR, av.logging.WARNING], ids=str)
def level(request):
    before = av.logging.get_level()
    av.logging.set_level(request.param)
    yield request.param
    av.logging.set_level(before)


def test_errors_are_collected_whatever_the_level_that_is_set_and_it_stays(level):
    with logged_errors() as errors:
        av.logging.log(av.logging.ERROR, "h264", "one\nMB\n")
        av.logging.log(av.logging.WARNING, "h264", "no error")
        av.logging.log(av.logging.FATAL, "mpegts", "another")
    assert errors == [("h264", "one MB"), ("mpegts", "another")]
    assert av.logging.get_level() == level
    assert av.logging.get_skip_repeated()


def test_the_same_error_of_the_next_video_is_an_error_too():
    for _ in range(2):
        with logged_errors() as errors:
            av.logging.log(av.logging.ERROR, "h264", "the same")
        assert errors == [("h264", "the same")]


def test_errors_of_another_thread_are_not_ours_and_its_end_does_not_end_ours():
    def other():
        with logged_errors() as errors:
            av.logging.log(av.logging.ERROR, "", "theirs")
        seen.extend(errors)

    seen = []
    with logged_errors() as errors:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        av.logging.log(av.logging.ERROR, "", "ours")
    assert seen == [("", "theirs")]
    assert errors == [("", "ours")]
    assert av.logging.get_level() is None


def test_blocks_may_lie_within_one_another():
    with logged_errors() as outer:
        with logged_errors() as inner:
            av.logging.log(av.logging.ERROR, "", "inside")
        av.logging.log(av.logging.ERROR, "", "outside")
    assert inner == [("", "inside")]
    assert outer == [("", "outside")]


def test_a_warning_goes_where_the_program_sends_warnings(caplog):
    av.logging.set_level(av.logging.WARNING)
    try:
        with caplog.at_level(logging.WARNING, "libav"), logged_errors():
            av.logging.log(av.logging.WARNING, "mov", "odd but readable\n")
    finally:
        av.logging.set_level(None)
    assert [(one.name, one.message) for one in caplog.records] == [
        ("libav.mov", "odd but readable")
    ]


def test_a_slice_whose_checksum_differs_is_an_error_that_says_so(videos, tmp_path):
    how = made.Format(".avi", "ffv1", "bgr0", made.FFV1_MKV.options)
    raw, ends = videos(how).read_bytes(), made.packet_ends(videos(how))
    path = tmp_path / "v.avi"
    path.write_bytes(raw[: ends[9] - 50] + bytes(20) + raw[ends[9] - 30 :])
    with pytest.raises(BrokenVideoError, match=r"at frame 9 \(0\.32 s\)"), Video(path) as video:
        len(video)
    with Video(videos(how)) as video:  # and the next one is as good as ever
        assert len(video) == made.COUNT


def write_with_sound(path):
    """Twenty pictures and a second of MPEG sound, whose packets are then overwritten."""
    how = made.MPEG4_AVI
    with av.open(str(path), "w") as container:
        pictures, sound = container.add_stream(how.codec, 25), container.add_stream("mp2", 32000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, how.pixels
        for rgb in made.numbered_frames(20, 48, 64):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 32000), np.int16), layout="mono")
        frame.sample_rate = 32000
        for stream, last in ((sound, frame), (sound, None), (pictures, None)):
            container.mux(stream.encode(last))
    with av.open(str(path)) as container:
        packets = [(p.pos + 20, p.size - 40) for p in container.demux(audio=0) if p.size]
    raw = bytearray(path.read_bytes())
    for start, size in packets:
        raw[start : start + size] = b"\x55" * size
    path.write_bytes(raw)
    return path


def test_damaged_sound_is_no_damage_of_the_pictures(tmp_path):
    path = write_with_sound(tmp_path / "v.avi")
    rgb, _, reason = made.decode(path)
    assert not reason
    assert made.numbers(rgb) == list(range(20))
