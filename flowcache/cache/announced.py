"""The size that compressed data announce, told before a decoder takes memory for it."""

_FRAME_HEADERS = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, the ones that are decoded
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xDA), 0xFF}  # none of them comes before the size

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """(height, width) in pixels. ValueError for what is no JPEG, or has lost its end."""
    if not jpeg.startswith(b"\xff\xd8") or not jpeg.endswith(b"\xff\xd9"):
        raise ValueError("no whole JPEG")
    place = 2
    while place + 9 <= len(jpeg):
        mark, kind = jpeg[place], jpeg[place + 1]
        if mark != 0xFF or kind in _WITHOUT_LENGTH:
            break
        if kind in _FRAME_HEADERS:
            height = int.from_bytes(jpeg[place + 5 : place + 7], "big")
            return height, int.from_bytes(jpeg[place + 7 : place + 9], "big")
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    raise ValueError("a JPEG without a size")


def zstd_size(frame: bytes) -> int:
    """How many bytes a Zstandard frame holds (RFC 8878, 3.1.1.1). ValueError where it does not say."""
    if not frame.startswith(_ZSTD_MAGIC) or len(frame) < 6:
        raise ValueError("no Zstandard frame")
    descriptor = frame[4]
    single_segment = descriptor >> 5 & 1
    start = 5 + (not single_segment) + (0, 1, 2, 4)[descriptor & 3]
    length = (single_segment, 2, 4, 8)[descriptor >> 6]
    if not length or len(frame) < start + length:
        raise ValueError("a Zstandard frame without a size")
    size = int.from_bytes(frame[start : start + length], "little")
    return size + 256 if length == 2 else size
