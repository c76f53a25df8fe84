import io
import struct

import made_videos as made
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flowcache.video.truncation import missing_bytes

EBML = b"\x1a\x45\xdf\xa3"
SEGMENT = b"\x18\x53\x80\x67"


def box(kind, content, length=None):
    return struct.pack(">I", len(content) + 8 if length is None else length) + kind + content


def element(identifier, content, length=None):
    size = len(content) if length is None else length
    return identifier + (0x01 << 56 | size).to_bytes(8, "big") + content


def riff(movi_length, content=b"x" * 100, head_length=4):
    movi = b"LIST" + struct.pack("<I", movi_length) + b"movi" + content
    hdrl = b"LIST" + struct.pack("<I", head_length) + b"hdrl"
    return b"RIFF" + struct.pack("<I", len(movi) + len(hdrl) + 4) + b"AVI " + hdrl + movi


@pytest.mark.parametrize("how", made.ALL_FORMATS, ids=str)
def test_an_intact_file_lacks_nothing(tmp_path, how):
    path = made.write_video(tmp_path / f"v{how.suffix}", made.numbered_frames(10), how)
    assert missing_bytes(path) == 0
    path.write_bytes(path.read_bytes() + bytes(1000))  # what some tools append
    assert missing_bytes(path) == 0


def test_real_files_lack_nothing_but_the_one_that_was_cut(data):
    files = [p for folder in ("odd", "clips") for p in (data / folder).iterdir()]
    files += sorted((data / "ucf101").rglob("*.avi"))[::40]
    files += sorted((data / "ut_interaction").rglob("*.avi"))
    for path in files:
        if path.name != "bad_video.mp4":
            assert missing_bytes(path) == 0, path


@pytest.mark.parametrize("how", [made.H264_MP4, made.MPEG4_MOV, made.H264_MKV], ids=str)
@pytest.mark.parametrize("cut", [1, 57, 1000])
def test_what_is_cut_off_is_counted(tmp_path, how, cut):
    path = made.write_video(tmp_path / f"v{how.suffix}", made.numbered_frames(10), how)
    raw = path.read_bytes()
    path.write_bytes(raw[:-cut])
    index = len(raw) - (raw.rindex(b"moov") - 4) if b"moov" in raw else len(raw)
    assert missing_bytes(path) == (cut if cut < index else cut - index)


def test_what_lies_behind_a_whole_avi_is_not_held_against_it(tmp_path):
    path = made.write_video(tmp_path / "v.avi", made.numbered_frames(10))
    raw = path.read_bytes()
    path.write_bytes(raw + bytes(156) + raw[:400])  # the slack of a disk's last sector
    assert missing_bytes(path) == 0


@pytest.mark.parametrize(
    ("name", "content", "missing"),
    [
        ("avi whole", riff(104), 0),
        ("avi cut", riff(1004), 900),
        ("avi of a recorder that never wrote the length", riff(0), 0),
        ("avi without its movi", b"RIFF" + struct.pack("<I", 4000) + b"AVI ", 0),
        ("mp4 whole", box(b"ftyp", b"isom") + box(b"mdat", bytes(50)), 0),
        ("mp4 cut", box(b"ftyp", b"isom") + box(b"mdat", bytes(50), 108), 50),
        ("mp4 whose data go on to the end", box(b"ftyp", b"isom") + box(b"mdat", bytes(9), 0), 0),
        (
            "mp4 with a length of 64 bits",
            box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 5_000_000_000) + bytes(10),
            5_000_000_000 - 26,
        ),
        ("mp4 with text behind it", box(b"ftyp", b"isom") + b"\0\0\0\x64<>-;and more", 0),
        ("webm whole", element(EBML, b"abc") + element(SEGMENT, bytes(40)), 0),
        ("webm cut", element(EBML, b"abc") + element(SEGMENT, bytes(40), 100), 60),
        ("webm with more behind", element(EBML, b"abc") + element(SEGMENT, bytes(40)) + b"xx", 0),
        (
            "webm recorded live",
            element(EBML, b"abc") + SEGMENT + b"\x01" + b"\xff" * 7 + bytes(40),
            0,
        ),
        ("empty", b"", 0),
        ("text", b"this is not a video", 0),
        ("one byte", b"R", 0),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_stated_lengths_are_held_against_the_file(tmp_path, name, content, missing):
    (tmp_path / "file").write_bytes(content)
    assert missing_bytes(tmp_path / "file") == missing


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.sampled_from([b"", b"RIFF", EBML, EBML + b"\x80" + SEGMENT, b"\0\0\0\x08ftyp", b"LIST"]),
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"\0" * 8, b"\xff" * 8, b"RIFF", b"LIST", b"movi", b"\0\0\0\1mdat"]),
        ),
        max_size=8,
    ),
)
@example(b"\0\0\0\x08ftyp", [b"\0\0\0\1mdat", b"\xff" * 8])
@example(EBML, [b"\x01" + b"\xff" * 6 + b"\xfe"])
@example(EBML, [b"\x01\xff\xff\xff\xff\xff\xff\xfe", b"\x18\x53\x80\x67\x81"])
@example(b"RIFF", [b"\0" * 8] * 8)
def test_whatever_the_bytes_the_answer_is_a_number(tmp_path, start, parts):
    path = tmp_path / "file"
    path.write_bytes(start + b"".join(parts))
    assert missing_bytes(path) >= 0


def test_a_file_is_read_in_few_steps_whatever_its_size(tmp_path, monkeypatch):
    path = made.write_video(tmp_path / "v.mp4", made.numbered_frames(40), made.H264_MP4)
    read = []

    class Counting(io.FileIO):
        def read(self, size=-1):
            content = super().read(size)
            read.append(len(content))
            return content

    monkeypatch.setattr(type(path), "open", lambda self, mode: Counting(self))
    assert missing_bytes(path) == 0
    assert 0 < sum(read) < 200
