import made_videos as made
import numpy as np
import pytest

from flowcache.video import strict_decoder
from flowcache.video.decode import Video

VP9_MP4 = made.Format(".mp4", "libvpx-vp9", options=made.VP9_WEBM.options)
VP9_444 = made.Format(".mkv", "libvpx-vp9", "yuv444p", made.VP9_WEBM.options)


def damaged_copies(path, folder):
    """With sixteen bits of the pictures the other way round, one in each copy."""
    raw, ends = path.read_bytes(), made.packet_ends(path)
    for at in np.linspace(ends[2] + 30, ends[-2] - 30, 16).astype(int):
        copy = folder / f"{at}{path.suffix}"
        copy.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        yield copy


def test_a_flipped_bit_in_vp9_is_an_error_or_changes_nothing(videos, tmp_path):
    whole, _, _ = made.decode(videos(made.VP9_WEBM))
    refused = 0
    for copy in damaged_copies(videos(made.VP9_WEBM), tmp_path):
        rgb, _, reason = made.decode(copy)
        np.testing.assert_array_equal(rgb, whole[: len(rgb)])
        refused += bool(reason)
    assert refused > 8


@pytest.mark.parametrize("how", [made.VP9_WEBM, VP9_MP4, VP9_444], ids=str)
def test_both_decoders_give_the_same_pictures_at_the_same_times(videos, monkeypatch, how):
    rgb, times, _ = made.decode(videos(how))
    monkeypatch.setattr(strict_decoder, "_STRICTER", {})
    own, own_times, _ = made.decode(videos(how))
    np.testing.assert_array_equal(rgb, own)
    np.testing.assert_array_equal(times, own_times)
    assert len(rgb) == made.COUNT


def test_where_ffmpeg_has_no_stricter_decoder_its_own_goes_on(videos, monkeypatch):
    monkeypatch.setattr(strict_decoder, "_STRICTER", {"vp9": "not built in"})
    assert len(Video(videos(made.VP9_WEBM))) == made.COUNT


def test_a_rotated_vp9_is_upright(tmp_path):
    path = made.write_video(tmp_path / "v.mp4", made.numbered_frames(4, 48, 72), VP9_MP4)
    whole, _, _ = made.decode(path)
    made.turn_mp4(path, 1)
    rgb, _, _ = made.decode(path)
    np.testing.assert_array_equal(rgb, np.rot90(whole, -1, axes=(1, 2)))
