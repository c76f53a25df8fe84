"""What holds for every container: intact files, cuts, and whatever bytes."""

import made_videos as made
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flowcache.video import containers
from flowcache.video.decode import BrokenVideoError, Video

LIVE_MKV = made.Format(".mkv", "libx264", container_options={"live": "1"})
FRAGMENTED = made.Format(
    ".mp4", "libx264", container_options={"movflags": "frag_keyframe+empty_moov"}
)
MXF = made.Format(".mxf", "mpeg2video", options={"qscale": "3", "flags": "+qscale"})
M2TS = made.Format(".m2ts", "libx264", options={"bf": "2"})
FORMATS = [*made.ALL_FORMATS, LIVE_MKV, FRAGMENTED, MXF, M2TS]
STREAMED = [made.MPEG2_MPG, made.H264_TS, LIVE_MKV, M2TS]
"""These announce no end."""
NO_SLACK = [made.FLV, made.H264_TS, LIVE_MKV, MXF, M2TS]
"""In these, what lies behind the last frame would be read as a part of them."""
NAMES = {
    ".asf": "asf",
    ".avi": "avi",
    ".flv": "flv",
    ".m2ts": "mpegts",
    ".mkv": "matroska",
    ".mov": "mov",
    ".mp4": "mov",
    ".mpg": "mpeg",
    ".mxf": "mxf",
    ".ts": "mpegts",
    ".webm": "matroska",
    ".wmv": "asf",
}


def inspect(path):
    return containers.inspect(path, NAMES[path.suffix])


@pytest.fixture(params=FORMATS, ids=str)
def intact(request, videos):
    return request.param, videos(request.param)


def test_an_intact_file_lacks_nothing(intact, tmp_path):
    how, path = intact
    found = inspect(path)
    assert not found.damage
    assert found.announced == (how not in STREAMED)
    slack = tmp_path / path.name
    slack.write_bytes(path.read_bytes() + bytes(1000))  # what some tools append
    assert bool(inspect(slack).damage) == (how in NO_SLACK)


def test_wherever_a_file_is_cut_it_is_known_or_it_announced_no_end(intact, tmp_path):
    how, path = intact
    raw, last = path.read_bytes(), made.packet_ends(path)[-1]
    cut = tmp_path / path.name
    quiet = 0
    for end in np.random.default_rng(0).integers(last // 2, last - 1, 50):
        cut.write_bytes(raw[:end])
        found = inspect(cut)
        assert found.position <= end
        if how is FRAGMENTED or how in STREAMED:
            assert not found.announced or found.damage
            quiet += not found.damage
        elif b"moov" in raw[end:] or how is made.MPEG2_MPG:  # then it cannot be opened at all
            continue
        else:
            assert found.damage
    assert quiet <= 3


LOCATED = [
    made.H264_MKV,
    made.FFV1_MKV,
    LIVE_MKV,
    made.MPEG2_MPG,
    made.H264_TS,
    M2TS,
    made.FLV,
    MXF,
]


@pytest.mark.parametrize("how", LOCATED, ids=str)
def test_where_a_stretch_is_lost_the_frames_before_it_are_kept_and_none_behind(
    videos, tmp_path, how
):
    raw, whole = videos(how).read_bytes(), made.decode(videos(how))[0]
    path = tmp_path / f"v{how.suffix}"
    for start in np.linspace(len(raw) // 3, len(raw) * 2 // 3, 5).astype(int):
        path.write_bytes(raw[:start] + raw[start + 700 :])
        rgb, _, reason = made.decode(path)
        assert reason
        np.testing.assert_array_equal(rgb, whole[: len(rgb)])


def test_real_files_lack_nothing(data):
    files = [p for folder in ("odd", "clips") for p in (data / folder).iterdir()]
    files += sorted((data / "ucf101").rglob("*.avi"))[::40]
    files += sorted((data / "ut_interaction").rglob("*.avi"))
    for path in files:
        if path.name != "bad_video.mp4":
            assert not inspect(path).damage, path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(
    st.sampled_from(sorted(set(NAMES.values()))),
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [
                    *(b"\0" * 8, b"\xff" * 8, b"RIFF", b"LIST", b"movi", b"\0\0\0\1mdat", b"moof"),
                    *(
                        b"\x1a\x45\xdf\xa3\x80",
                        b"\x18\x53\x80\x67",
                        b"\x1f\x43\xb6\x75",
                        b"\0\0\1\xba",
                    ),
                    bytes.fromhex("060e2b34020501010d01020101020000"),
                    bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"),
                    bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"),
                    b"FLV\1\1\0\0\0\x09\0\0\0\0",
                    b"G" + b"\0" * 187,
                ]
            ),
        ),
        max_size=8,
    ),
)
@example("mov", [b"\0\0\0\1mdat", b"\xff" * 8])
@example("matroska", [b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xfe"])
@example("avi", [b"RIFF", b"\0" * 8, b"\0" * 24])
@example("flv", [])
def test_whatever_the_bytes_there_is_an_answer(tmp_path, name, parts):
    path = tmp_path / "file"
    path.write_bytes(b"".join(parts))
    found = containers.inspect(path, name)
    assert 0 <= found.position <= path.stat().st_size


def test_a_container_of_which_nothing_is_known_announces_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"anything")
    assert containers.inspect(tmp_path / "file", "ogg") == containers.Structure()


def test_the_message_says_what_and_where(videos, tmp_path):
    raw = videos(made.H264_TS).read_bytes()
    pictures = [i for i in range(0, len(raw), 188) if raw[i + 1] & 0x1F == 1 and raw[i + 2] == 0]
    lost = pictures[len(pictures) // 2]
    path = tmp_path / "v.ts"
    path.write_bytes(raw[:lost] + raw[lost + 188 :])
    with pytest.raises(
        BrokenVideoError, match=r"(packets are lost|data is damaged).* at frame \d+ \("
    ):
        len(Video(path))
