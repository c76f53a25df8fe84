import hashlib

import made_entries as entries
import pytest

from flowcache.cache import seal
from flowcache.cache.recipe import FORMAT_VERSION


@pytest.fixture
def sealed(tmp_path):
    """A file of some bytes behind its seal."""
    path = tmp_path / "file"
    path.write_bytes(bytes(seal.SIZE) + bytes(range(256)) * 3)
    with path.open("r+b") as file:
        seal.write_seal(file)
    return path


def sealed_format(path):
    with path.open("rb") as file:
        return seal.sealed_format(file)


def is_sealed(path):
    return sealed_format(path) == FORMAT_VERSION


def test_the_seal_is_text_with_the_digest_of_all_that_follows(sealed):
    raw = sealed.read_bytes()
    digest = hashlib.sha256(raw[512:]).hexdigest()
    assert raw[:512].rstrip(b"\0").decode().splitlines() == [
        f"twostream flow cache entry, format {FORMAT_VERSION}",
        f"sha256 of the bytes from 512 on: {digest}",
    ]
    assert raw[512:] == bytes(range(256)) * 3
    assert is_sealed(sealed)


def test_an_entry_has_this_seal(entry_path):
    before = entry_path.read_bytes()
    assert is_sealed(entry_path)
    entries.reseal(entry_path)
    assert entry_path.read_bytes() == before


def test_any_other_byte_breaks_the_seal(sealed):
    raw = sealed.read_bytes()
    for place in [*range(0, len(raw), 7), 510, 511, 512, len(raw) - 1]:
        damaged = bytearray(raw)
        damaged[place] ^= 1
        sealed.write_bytes(damaged)
        assert not is_sealed(sealed), place


def test_a_byte_too_few_or_too_many_breaks_the_seal(sealed):
    raw = sealed.read_bytes()
    for other in (raw[:-1], raw + b"\0", raw[: seal.SIZE], raw[:5], b""):
        sealed.write_bytes(other)
        assert not is_sealed(sealed)


def test_the_seals_of_earlier_formats_hold_and_those_of_later_ones_do_not(sealed):
    raw = sealed.read_bytes()
    ours = f"format {FORMAT_VERSION}\n".encode()
    for version in range(FORMAT_VERSION + 3):
        sealed.write_bytes(raw.replace(ours, f"format {version}\n".encode(), 1))
        expected = version if 1 <= version <= FORMAT_VERSION else None
        assert sealed_format(sealed) == expected, version


def test_a_file_is_read_again_where_it_has_changed(sealed):
    assert seal.is_sealed_file(sealed, sealed.stat())
    raw = sealed.read_bytes()
    sealed.write_bytes(raw + b"\0")
    assert not seal.is_sealed_file(sealed, sealed.stat())
    sealed.write_bytes(raw)
    assert seal.is_sealed_file(sealed, sealed.stat())


def test_a_seal_without_what_it_seals_is_that_of_nothing(tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(bytes(seal.SIZE))
    with path.open("r+b") as file:
        seal.write_seal(file)
    assert is_sealed(path)
    assert len(path.read_bytes()) == seal.SIZE
