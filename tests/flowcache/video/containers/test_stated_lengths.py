"""Containers written by hand, byte by byte, against what they state."""

import struct

import pytest

from flowcache.video import containers

EBML = b"\x1a\x45\xdf\xa3"
SEGMENT = b"\x18\x53\x80\x67"
CLUSTER = b"\x1f\x43\xb6\x75"
OPEN = b"\x01" + b"\xff" * 7


def box(kind, content, length=None):
    return struct.pack(">I", len(content) + 8 if length is None else length) + kind + content


def fragment(number, frames=b"trun", flags=0):
    track = box(b"traf", box(b"tfhd", struct.pack(">II", flags, 1)) + box(frames, bytes(8)))
    head = box(b"mfhd", struct.pack(">II", 0, number)) + track
    return box(b"moof", head) + box(b"mdat", bytes(20))


def element(identifier, content, length=None):
    size = len(content) if length is None else length
    return identifier + (0x01 << 56 | size).to_bytes(8, "big") + content


def riff(movi_length, content=b"x" * 100, head_length=4, behind=b""):
    movi = b"LIST" + struct.pack("<I", movi_length) + b"movi" + content + behind
    hdrl = b"LIST" + struct.pack("<I", head_length) + b"hdrl"
    return b"RIFF" + struct.pack("<I", len(movi) + len(hdrl) + 4) + b"AVI " + hdrl + movi


def tag(kind, content, behind=None):
    length = len(content) + 11
    head = bytes([kind]) + len(content).to_bytes(3) + bytes(7)
    return head + content + (length if behind is None else behind).to_bytes(4)


def flv(*tags, file_size=None):
    head = b"FLV\1\1\0\0\0\x09\0\0\0\0"
    if file_size is not None:
        head += tag(18, b"onMetaData\0\x08filesize\0" + struct.pack(">d", file_size))
    return head + b"".join(tags)


def partition(kind, this, footer):
    key = bytes.fromhex("060e2b34020501010d01020101") + bytes([kind, 4, 0])
    return key + b"\x20" + struct.pack(">HHIQQQ", 1, 3, 1, this, 0, footer)


def essence(size=30):
    return bytes.fromhex("060e2b34010201010d01030115010500") + bytes([size]) + bytes(size)


MXF_END = 49 + 2 * 47  # where the footer begins, behind the header and two pieces


def mxf(*pieces):
    return partition(2, 0, MXF_END) + b"".join(pieces)


def asf(packets=2, size=60, count=2, flags=0):
    properties = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + struct.pack("<Q", 104)
    total = 30 + 104 + 50 + count * size
    properties += bytes(16) + struct.pack("<QQQQQQ", total, 0, count, 0, 0, 0)
    properties += struct.pack("<IIII", flags, size, size, 0)
    header = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + struct.pack("<QIH", 134, 1, 258)
    data = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c") + bytes(34)
    return header + properties + data + packets * b"\x82\0\0".ljust(size, b"a")


def packs(*lengths, end=b""):
    pack = b"\0\0\1\xba\x44" + bytes(9)
    return (
        b"".join(
            pack + b"\0\0\1\xe0" + struct.pack(">H", length) + bytes(length) for length in lengths
        )
        + end
    )


def whole(raw):
    return raw, "yes", None


def unknown(raw):
    return raw, "unknown", None


def lacks(missing, raw):
    return raw, "", f"{missing} bytes short"


def without(what, raw):
    return raw, "", f"there is no {what}"


FTYP = box(b"ftyp", b"isom")
CASES = {
    ("avi", "whole"): whole(riff(104)),
    ("avi", "cut"): lacks(900, riff(1004)),
    ("avi", "in two parts"): whole(riff(104) + riff(104).replace(b"AVI ", b"AVIX")),
    ("avi", "in two parts, of which one is cut"): lacks(
        50, riff(104) + riff(104).replace(b"AVI ", b"AVIX")[:-50]
    ),
    ("avi", "of a recorder that never wrote the length"): unknown(riff(0)),
    ("avi", "without its list"): without("list", b"RIFF" + struct.pack("<I", 4000) + b"AVI "),
    ("avi", "whose index has moved"): without("chunk", riff(100, bytes(100), behind=b"idx1" + bytes(9))),
    ("mov", "whole"): whole(FTYP + box(b"mdat", bytes(50))),
    ("mov", "cut"): lacks(50, FTYP + box(b"mdat", bytes(50), 108)),
    ("mov", "whose data go on to the end"): unknown(FTYP + box(b"mdat", bytes(9), 0)),
    ("mov", "with a length of 64 bits"): lacks(
        5_000_000_000 - 26, FTYP + struct.pack(">I4sQ", 1, b"mdat", 5_000_000_000) + bytes(10)
    ),
    ("mov", "with text behind it"): whole(FTYP + b"\0\0\0\x64<>-;and more"),
    ("mov", "in fragments"): unknown(FTYP + fragment(1) + fragment(2)),
    ("mov", "in fragments, closed"): whole(FTYP + fragment(1) + box(b"mfra", b"")),
    ("mov", "of which a fragment is lost"): without(
        "fragment with the number 2", FTYP + fragment(1) + fragment(3)
    ),
    ("mov", "with a fragment twice"): without(
        "fragment", FTYP + fragment(1) + fragment(1) + box(b"mfra", b"")
    ),
    ("mov", "of which a fragment's frames are not named"): without(
        "fragment that names", FTYP + fragment(1) + fragment(2, frames=b"urun")
    ),
    ("mov", "of which a fragment has no frames, and says so"): unknown(
        FTYP + fragment(1) + fragment(2, frames=b"free", flags=0x010000)
    ),
    ("mov", "with something between fragments"): without("box", FTYP + fragment(1) + bytes(12)),
    ("matroska", "whole"): whole(element(EBML, b"abc") + element(SEGMENT, element(b"\xec", b""))),
    ("matroska", "cut"): lacks(60, element(EBML, b"abc") + element(SEGMENT, b"\xec\x80", 62)),
    ("matroska", "with more behind"): whole(
        element(EBML, b"abc") + element(SEGMENT, b"\xec\x80") + b"xx"
    ),
    ("matroska", "with more behind, and an element that runs into it"): without(
        "element that ends", element(EBML, b"abc") + element(SEGMENT, b"\xec\x88") + bytes(20)
    ),
    ("matroska", "live"): unknown(
        element(EBML, b"") + SEGMENT + OPEN + CLUSTER + OPEN + b"\xa3\x81a" + CLUSTER + b"\x80"
    ),
    ("matroska", "live, cut in a block"): lacks(
        9, element(EBML, b"") + SEGMENT + OPEN + CLUSTER + OPEN + b"\xa3\x8aa"
    ),
    ("matroska", "with something between elements"): without(
        "element", element(EBML, b"") + element(SEGMENT, b"\xec\x80\x99\x80")
    ),
    ("matroska", "whose checksum differs"): (
        element(EBML, b"") + element(SEGMENT, element(CLUSTER, b"\xbf\x84abcd\xe7\x81\0")),
        "",
        "checksum",
    ),
    ("flv", "whole"): unknown(flv(tag(9, b"abc"), tag(8, b"d"))),
    ("flv", "of stated length"): whole(flv(tag(9, b"abc"), file_size=70)),
    ("flv", "cut between tags"): lacks(425, flv(tag(9, b"abc"), file_size=500)),
    ("flv", "cut"): lacks(3, flv(tag(9, b"abc"), tag(9, b"abc"))[:-3]),
    ("flv", "with something between tags"): without("tag", flv(tag(9, b"abc"), bytes(40))),
    ("flv", "whose length behind differs"): without(
        "end of a tag", flv(tag(9, b"abc"), tag(9, b"abc", behind=99))
    ),
    ("flv", "of a program that writes none"): unknown(flv(tag(9, b"a", 0), tag(9, b"a", 0))),
    ("mxf", "whole"): whole(mxf(essence(), essence(), partition(4, MXF_END, MXF_END))),
    ("mxf", "cut between pieces"): lacks(47, mxf(essence())),
    ("mxf", "cut"): lacks(4, mxf(essence())[:-4]),
    ("mxf", "of which a piece is lost"): without(
        "partition", mxf(essence(), partition(4, MXF_END, MXF_END))
    ),
    ("mxf", "with something between pieces"): without("key", mxf(essence(), bytes(50))),
    ("mxf", "live"): unknown(partition(2, 0, 0) + essence()),
    ("asf", "whole"): whole(asf()),
    ("asf", "cut"): lacks(60, asf(packets=1)),
    ("asf", "broadcast"): unknown(asf(count=9, flags=1)),
    ("asf", "with something else in a packet's place"): without(
        "packet", asf(packets=1) + bytes(60)
    ),
    ("mpeg", "whole"): unknown(packs(20, 30)),
    ("mpeg", "with an end code"): whole(packs(20, 30, end=b"\0\0\1\xb9")),
    ("mpeg", "with zeros between"): unknown(packs(20) + bytes(99) + packs(30)),
    ("mpeg", "cut"): lacks(5, packs(20, 30)[:-5]),
    ("mpeg", "with something between packets"): without("packet", packs(20) + b"abcdefg" + packs(20)),
    ("avi", "empty"): unknown(b""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_what_is_stated_is_held_against_the_file(tmp_path, case):
    raw, complete, damage = CASES[case]
    (tmp_path / "file").write_bytes(raw)
    found = containers.inspect(tmp_path / "file", case[0])
    if damage:
        assert damage in found.damage
    else:
        assert found == containers.Structure(announced=complete == "yes")
