import cv2
import made_videos as made
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcache.errors import UserError
from flowcache.video.resize import AS_IT_IS, Resize


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600))
def test_the_short_side_is_kept_to_and_nothing_is_enlarged(width, height, short):
    w, h = Resize(short).of(width, height)
    if min(width, height) <= short:
        assert (w, h) == (width, height)
    else:
        assert min(w, h) == short
        assert max(w, h) == pytest.approx(max(width, height) * short / min(width, height), abs=0.51)
        assert (w <= h) == (width <= height) or w == h
    assert w <= width
    assert h <= height


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600), st.integers(1, 600))
def test_an_exact_size_is_that_size(width, height, w, h):
    assert Resize(exact=(w, h)).of(width, height) == (w, h)


def test_sizes_are_read_and_written_alike():
    for text in ("256", "1", "340x256", "1x1", "original"):
        assert str(Resize.parse(text)) == text
    assert Resize.parse("original") == AS_IT_IS


def test_what_is_no_size_is_refused_in_one_sentence():
    words = ("", "0", "-3", "0x3", "3x0", "3X4", "3x", "x3", "3x4x5", " 3", "3 ", "3\n", "3.5", "٣")
    for size in (*words, 0, -3, 2.5, True, None, (3, 0), (3, -4), (2.5, 3)):
        with pytest.raises(UserError, match=r"is no size: write .*256.*340x256") as caught:
            Resize.parse(size)
        assert caught.value.parameter == "size"


def test_a_size_may_be_a_number_two_numbers_or_text():
    assert Resize.parse(256) == Resize.parse("256") == Resize(short_side=256)
    for two in ((340, 256), [340, 256], "340x256"):
        assert Resize.parse(two) == Resize(exact=(340, 256))


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_as_it_is_changes_no_size(width, height):
    assert AS_IT_IS.of(width, height) == (width, height)


@pytest.mark.parametrize("size", [(48, 72), (72, 48), (49, 71), (17, 95)])
def test_frames_are_resized_as_a_plain_downscale_would(tmp_path, size):
    height, width = size
    frames = np.repeat(made.moving_scene(3, height, width, 1.5, 0.5)[..., None], 3, 3)
    path = made.write_video(tmp_path / "v.mkv", frames, made.FFV1_MKV)
    for resize in (Resize(16), Resize(31), Resize(256), Resize(exact=(35, 61))):
        rgb, _, _ = made.decode(path, resize)
        to = resize.of(width, height)
        for frame, original in zip(rgb, frames, strict=True):
            assert frame.shape == (to[1], to[0], 3)
            plain = cv2.resize(original, to, interpolation=cv2.INTER_LINEAR)
            assert np.abs(frame.astype(int) - plain).mean() < 8
