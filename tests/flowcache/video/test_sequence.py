"""A `Video` used as a sequence of frames: `len`, square brackets, iteration, again and again."""

import subprocess
import sys

import made_videos as made
import numpy as np
import pytest

from flowcache.types import Frames
from flowcache.video.decode import BrokenVideoError, Video

COUNT = made.COUNT


@pytest.fixture(scope="module")
def plain(videos):
    """The frames as PyAV gives them, and their times."""
    return made.decode_plainly(videos(made.H264_MP4)), np.arange(COUNT) / 25


@pytest.fixture
def video(videos):
    with Video(videos(made.H264_MP4)) as video:
        yield video


def test_len_counts_the_frames_that_decode(video):
    assert len(video) == COUNT


def test_len_counts_no_frame_that_the_container_only_promises(data):
    with Video(data / "odd" / "tree.avi") as video:
        assert (len(video), video.expected_frames) == (68, 444)


def test_a_number_is_a_frame_and_a_slice_is_frames_with_their_times(video, plain):
    frames, times = plain
    for number in (0, 3, COUNT - 1, -1, -COUNT, np.int64(7)):
        frame = video[number]
        assert frame.dtype == np.uint8
        np.testing.assert_array_equal(frame, frames[number])
    for key in (
        slice(10, 15),
        slice(None, None, -3),
        slice(-4, None),
        [5, 2, 2],
        np.array([0, -1]),
    ):
        some = video[key]
        assert isinstance(some, Frames)
        np.testing.assert_array_equal(some.rgb, frames[key])
        np.testing.assert_allclose(some.times, times[key], atol=1e-6)


def test_no_number_gives_no_frame(video):
    for key in (slice(0), slice(5, 2), [], range(0)):
        assert len(video[key]) == len(video[key].times) == 0
    assert video[:0].rgb.shape == (0, 48, 72, 3)


def test_a_frame_beyond_the_end_is_an_index_error(video):
    for key in (COUNT, -COUNT - 1, 99, [0, 99]):
        with pytest.raises(IndexError, match=rf"there is no frame .* from 0 to {COUNT - 1}"):
            _ = video[key]
    assert made.read_number(video[0]) == 0  # and it is as good as before
    with pytest.raises(TypeError):
        _ = video["0"]


def test_iteration_gives_every_frame_once_and_again_as_often_as_wanted(video, plain):
    for _ in range(2):
        np.testing.assert_array_equal(np.stack(list(video)), plain[0])
    first, second = (list(video.frames(made.FULL)) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.rgb, two.rgb)
        np.testing.assert_array_equal(one.times, two.times)


def test_a_decoding_that_was_given_up_does_not_disturb_the_next(video, plain):
    for wanted in (1, 7):
        for number, frame in enumerate(video):
            np.testing.assert_array_equal(frame, plain[0][number])
            if number == wanted:
                break
    assert made.numbers(list(video)) == list(range(COUNT))
    assert video.size == (72, 48)


def test_times_that_run_back_are_counted_at_the_frame_rate_also_in_a_slice(data):
    with Video(data / "ucf101/videos/Archery/v_Archery_g09_c01.avi") as video:
        times = video[:].times
        assert (np.diff(times) > 0).all()
        np.testing.assert_array_equal(video[[7, 3]].times, times[[7, 3]])


def test_a_rotated_video_is_upright_also_here(data):
    with Video(data / "odd" / "video_90.mov") as video:
        raw = made.decode_plainly(video.path)
        np.testing.assert_array_equal(video[1], np.rot90(raw[1], 3))
        np.testing.assert_array_equal(video[:].rgb, np.rot90(raw, 3, axes=(1, 2)))


def test_a_video_that_breaks_has_no_length(data):
    with Video(data / "odd" / "corrupted.mp4") as video:
        for ask in (lambda: len(video), lambda: video[0], lambda: video[:3], lambda: list(video)):
            with pytest.raises(BrokenVideoError, match="at frame 28"):
                ask()
        frame = next(iter(video))  # what comes before can be had one by one
        assert frame.shape == (*video.size[::-1], 3)


def test_text_and_a_path_open_the_same(videos):
    path = videos(made.MPEG4_AVI)
    with Video(str(path)) as text, Video(path) as other:
        assert text.path == other.path == path
        assert len(text) == len(other) == COUNT
        assert repr(text) == f"Video({str(path)!r})"


def test_a_closed_video_opens_again(videos):
    video = Video(videos(made.MPEG4_AVI))
    video.close()
    video.close()
    assert len(video) == COUNT
    video.close()
    assert made.read_number(video[5]) == 5
    video.close()


# In a process of its own each, because a decoder whose file is closed under it ends the process.
SIDE_BY_SIDE = {
    "two loops": "assert [(a == b).all() for a, b in zip(video, video)] == [True] * COUNT",
    "len in a loop": "assert [len(video) for _ in video] == [COUNT] * COUNT",
    "frames in a loop": """
        for number, frame in zip(range(3), video):
            assert (video[number] == frame).all() and (video[-1] != frame).any()
    """,
    "closed in a loop": """
        frames = iter(video)
        first = next(frames)
        video.close()
        assert (next(iter(video)) == first).all()
    """,
}


@pytest.mark.parametrize("what", SIDE_BY_SIDE)
def test_a_video_can_be_decoded_several_times_side_by_side(videos, what):
    lines = SIDE_BY_SIDE[what].strip("\n")
    code = "import sys, textwrap; from flowcache import Video; video = Video(sys.argv[1]); "
    code += "exec(textwrap.dedent(sys.argv[2]), {'video': video, 'COUNT': int(sys.argv[3])})"
    command = [sys.executable, "-c", code, str(videos(made.H264_MP4)), lines, str(COUNT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
