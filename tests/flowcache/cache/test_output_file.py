"""Entries on a device that is full, for which a limit on a file's size stands."""

import errno

import made_entries as entries
import pytest

from flowcache.atomic import NoSpaceError
from flowcache.cache.entry import Entry
from flowcache.cache.output_file import OutputFile


def write(path, recipe, rgb):
    entries.write(path, recipe, entries.smooth_flow(8, 45, 61), rgb, batches=3)


def test_wherever_the_device_is_full_it_is_one_sentence_and_nothing_is_left(
    tmp_path, recipe, rgb, limit_file_size
):
    """A process that HDF5 ends would end the tests."""
    write(tmp_path / "whole.h5", recipe(), rgb)
    size = (tmp_path / "whole.h5").stat().st_size
    places = [0, 100, 512, 513, *range(1000, size - 4000, size // 40), size - 600, size - 1]
    for place in places:
        limit_file_size(place)
        with pytest.raises(NoSpaceError, match=r"no space left for .*v\.h5"):
            write(tmp_path / "v.h5", recipe(), rgb)
        assert [p.name for p in tmp_path.iterdir()] == ["whole.h5"], place
    limit_file_size(size)
    write(tmp_path / "v.h5", recipe(), rgb)
    assert (tmp_path / "v.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    Entry(tmp_path / "v.h5").verify()


def test_the_first_error_is_the_one_that_is_told_and_what_fits_is_kept(tmp_path, limit_file_size):
    with OutputFile(tmp_path / "file") as file:
        file.write(b"0123")
        file.check()
        limit_file_size(6)
        assert file.write(b"456789") == 6
        with pytest.raises(OSError, match="too large") as caught:
            file.check()
        assert caught.value.errno == errno.EFBIG
        assert file.truncate(100) == 100
        file.seek(4)
        buffer = bytearray(4)
        assert file.readinto(buffer) == 4
        assert buffer == b"45\0\0"
        with pytest.raises(OSError, match="too large") as again:
            file.check()
        assert again.value is caught.value
