"""The loops of `codec.DigitPlanes`, compiled: between values and bit planes, eight bytes at a time.

A word is a uint64 whose lowest byte comes first. Constants have the words' type, because mixed with a
signed number an expression would turn into floating point. Importing this takes half a second, so
`codec` does it when there is something to pack.
"""

from typing import Any

import numpy as np

from flowcache.compiled import compiled

_W = np.uint64
_EVEN_PAIRS, _ODD_PAIRS = _W(0x3333333333333333), _W(0xCCCCCCCCCCCCCCCC)
_EVEN_NIBBLES, _ODD_NIBBLES = _W(0x0F0F0F0F0F0F0F0F), _W(0xF0F0F0F0F0F0F0F0)
_EVEN_BYTES = _W(0x00FF00FF00FF00FF)
_LOW_BIT, _TOP_BIT = _W(0x0101010101010101), _W(0x8080808080808080)
_NOT_TOP_BIT = _W(0x7F7F7F7F7F7F7F7F)

_PACK = [
    f"void({type_}[:, :, :, ::1], uint64[:, :, :, ::1], int64, uint64[:, :, ::1], uint8[:, :, ::1], "
    f"{type_}[:, ::1], {type_}[:, ::1])"
    for type_ in ("uint8", "uint16")
]
_UNPACK = [
    f"void(uint64[:, :, :, ::1], {type_}[:, :, :, ::1], uint64[:, :, ::1], uint8[:, :, ::1], "
    f"{type_}[:, ::1], uint64[::1])"
    for type_ in ("uint8", "uint16")
]


@compiled()
def _exchange(a: Any, b: Any) -> None:
    """Pair of bits i of byte plane k of a (4, n) becomes pair k of plane i of b; its own inverse."""
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    for i in range(a.shape[1]):
        # Within each 2 × 2 block of pairs, then between the blocks.
        p0 = (a0[i] & _EVEN_PAIRS) | ((a1[i] & _EVEN_PAIRS) << _W(2))
        p1 = ((a0[i] & _ODD_PAIRS) >> _W(2)) | (a1[i] & _ODD_PAIRS)
        p2 = (a2[i] & _EVEN_PAIRS) | ((a3[i] & _EVEN_PAIRS) << _W(2))
        p3 = ((a2[i] & _ODD_PAIRS) >> _W(2)) | (a3[i] & _ODD_PAIRS)
        b0[i] = (p0 & _EVEN_NIBBLES) | ((p2 & _EVEN_NIBBLES) << _W(4))
        b1[i] = (p1 & _EVEN_NIBBLES) | ((p3 & _EVEN_NIBBLES) << _W(4))
        b2[i] = ((p0 & _ODD_NIBBLES) >> _W(4)) | (p2 & _ODD_NIBBLES)
        b3[i] = ((p1 & _ODD_NIBBLES) >> _W(4)) | (p3 & _ODD_NIBBLES)


@compiled()
def _unfold_words(words: Any, carries: Any) -> None:
    """Bytes u → the running sum of d; words (4, n), in place; carries (n) for scratch."""
    total = _W(0)
    for i in range(4):
        row = words[i]
        for j in range(len(row)):
            u = row[j]
            d = ((u >> _W(1)) & _NOT_TOP_BIT) ^ ((u & _LOW_BIT) * _W(255))
            # The sums inside a word, with 16 bits of room for each: of pairs, and then of those.
            odd = (d >> _W(8)) & _EVEN_BYTES
            sums = (d & _EVEN_BYTES) + odd
            sums += sums << _W(16)
            sums += sums << _W(32)
            row[j] = ((sums - odd) & _EVEN_BYTES) | ((sums & _EVEN_BYTES) << _W(8))
        # What is left for one after the other is one addition a word.
        for j in range(len(row)):
            carries[j] = total
            total += row[j] >> _W(56)
        for j in range(len(row)):
            carry = (carries[j] & _W(255)) * _LOW_BIT
            sums = (row[j] & _NOT_TOP_BIT) + (carry & _NOT_TOP_BIT)
            row[j] = sums ^ ((row[j] ^ carry) & _TOP_BIT)


@compiled()
def _unfold_pairs(numbers: Any, differences: Any) -> None:
    """Low and high bytes of u (2, 4, n) → the running sum of d, uint16 (4, n)."""
    total = _W(0)
    for i in range(4):
        low, high, target = numbers[0, i], numbers[1, i], differences[i]
        for j in range(len(target)):
            u = _W(low[j]) | (_W(high[j]) << _W(8))
            target[j] = (u >> _W(1)) ^ ((u & _W(1)) * _W(0xFFFF))
        for j in range(len(target)):
            total += _W(target[j])
            target[j] = total


@compiled()
def _fold(differences: Any, folded: Any, size: int) -> None:
    """Values (4, n), of which the first `size` in each row count → u of their differences."""
    bits = _W(8 * folded.itemsize - 1)
    last = _W(0)
    for i in range(4):
        source, target = differences[i], folded[i]
        target[0] = source[0] - last
        for j in range(1, size):
            target[j] = source[j] - source[j - 1]
        for j in range(size):
            d = _W(target[j])
            target[j] = (d << _W(1)) ^ ((d >> bits) * _W(0xFFFF))
        last = _W(source[size - 1])


@compiled()
def _split(folded: Any, numbers: Any) -> None:
    """Numbers (4, n) → their bytes (itemsize, 4, n), the lowest first."""
    for k in range(len(numbers)):
        for i in range(4):
            source, target = folded[i], numbers[k, i]
            for j in range(len(source)):
                target[j] = _W(source[j]) >> _W(8 * k)


@compiled()
def _difference_rows(values: Any, differences: Any) -> None:
    """Values (C, H, W) → differences down the columns (4, ≥ C ⌈H / 4⌉ W), rows taken in fours."""
    components, height, width = values.shape
    groups = (height + 3) // 4
    for c in range(components):
        for y in range(height):
            start = (c * groups + y // 4) * width
            target = differences[y % 4, start : start + width]
            row, above = values[c, y], values[c, max(y - 1, 0)]
            for x in range(width):
                target[x] = row[x] - above[x] if y else row[x]


@compiled()
def _sum_rows(differences: Any, values: Any) -> None:
    """Undo `_difference_rows`."""
    components, height, width = values.shape
    groups = (height + 3) // 4
    for c in range(components):
        for y in range(height):
            start = (c * groups + y // 4) * width
            source = differences[y % 4, start : start + width]
            row, above = values[c, y], values[c, max(y - 1, 0)]
            for x in range(width):
                row[x] = above[x] + source[x] if y else source[x]


@compiled(*_PACK)
def pack_fields(
    values: Any, words: Any, size: int, numbers: Any, bytes_: Any, differences: Any, folded: Any
) -> None:
    """Values uint8 or uint16 (T, C, H, W) → words uint64 (T, itemsize, 4, n).

    Scratch for one field: numbers uint64 (itemsize, 4, n), bytes_ the same memory as bytes, and
    differences and folded (4, 8n), of the values' type and zero.
    """
    for t in range(values.shape[0]):
        _difference_rows(values[t], differences)
        _fold(differences, folded, size)
        _split(folded, bytes_)
        for k in range(words.shape[1]):
            _exchange(numbers[k], words[t, k])


@compiled(*_UNPACK)
def unpack_fields(
    words: Any, values: Any, numbers: Any, bytes_: Any, differences: Any, carries: Any
) -> None:
    """Undo `pack_fields`. One more scratch: carries uint64 (n)."""
    for t in range(values.shape[0]):
        for k in range(words.shape[1]):
            _exchange(words[t, k], numbers[k])
        if words.shape[1] == 1:
            _unfold_words(numbers[0], carries)
            _sum_rows(bytes_[0], values[t])
        else:
            _unfold_pairs(bytes_, differences)
            _sum_rows(differences, values[t])
