import av
import made_videos as made
import pytest

from flowcache.video.decode import BrokenVideoError, Video
from flowcache.video.nal_units import SliceCheck

OF_LENGTHS = bytes([1, 0, 0, 0, 0xFF]) + bytes(16) + b"\xff"
"""A description of a stream whose units have their length in front, in four bytes; H.264 and HEVC."""


def with_length(unit):
    return len(unit).to_bytes(4) + unit


@pytest.mark.parametrize(
    ("inside", "damaged"),
    [
        (b"\x00\x00\x00", True),
        (b"\x00\x00\x01", True),
        (b"\x00\x00\x02", True),
        (b"\x00\x00\x03\x00", False),
        (b"\x00\x00\x03\x03", False),
        (b"\x00\x00\x03\x04", True),
        (b"\x00\x00\x04", False),
        (b"\x00\x01\x00", False),
    ],
)
@pytest.mark.parametrize(("codec", "kind"), [("h264", b"\x65"), ("hevc", b"\x26\x01")])
def test_what_no_slice_may_hold_is_damage(codec, kind, inside, damaged):
    packet = with_length(kind + b"abc" + inside + b"def")
    check = SliceCheck(codec, OF_LENGTHS)
    assert check.is_damaged(packet) == damaged
    assert check.is_damaged(with_length(kind + b"a") + packet) == damaged
    assert not SliceCheck("mpeg4", OF_LENGTHS).is_damaged(packet)
    # Between start codes, three zeros and a one, or two, begin the next unit.
    assert SliceCheck(codec, b"").is_damaged(packet[4:]) == (damaged and inside[-1] != 1)


@pytest.mark.parametrize("description", [OF_LENGTHS, b""])
def test_zeros_behind_a_slice_are_none_of_it(description):
    packet = b"\x65abc" + bytes(9)
    assert not SliceCheck("h264", description).is_damaged(
        with_length(packet) if description else packet
    )


def test_what_is_no_slice_is_not_looked_at():
    assert not SliceCheck("h264", OF_LENGTHS).is_damaged(with_length(b"\x06" + bytes(9) + b"a"))


@pytest.mark.parametrize(
    "how", [made.H264_MP4, made.H264_MKV, made.H264_TS, made.HEVC_MP4], ids=str
)
def test_packets_of_encoders_are_whole(videos, how):
    with av.open(str(videos(how))) as container:
        codec = container.streams.video[0].codec_context
        check = SliceCheck(codec.name, codec.extradata or b"")
        assert not any(check.is_damaged(bytes(p)) for p in container.demux(video=0))


def test_a_hole_in_a_slice_is_an_error(videos, tmp_path):
    path = videos(made.H264_MP4)
    raw, ends = bytearray(path.read_bytes()), made.packet_ends(path)
    raw[ends[7] - 8 : ends[7] - 4] = bytes(4)
    broken = tmp_path / "v.mp4"
    broken.write_bytes(raw)
    with pytest.raises(BrokenVideoError, match="damaged at frame"), Video(broken) as video:
        len(video)
