"""Entries on a device that is full, for which a limit on a file's size stands."""

import errno
import resource
import signal

import made_entries as entries
import pytest

from flowcache.atomic import NoSpaceError
from flowcache.cache.entry import Entry
from flowcache.cache.output_file import OutputFile


@pytest.fixture
def limit():
    """Sets how many bytes a file may have, which the system then refuses as on a full device."""
    if not hasattr(signal, "SIGXFSZ"):
        pytest.skip("this system has no limit on the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limited(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limited
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def write(path, recipe, rgb):
    entries.write(path, recipe, entries.smooth_flow(8, 45, 61), rgb, batches=3)


def test_wherever_the_device_is_full_it_is_one_sentence_and_nothing_is_left(
    tmp_path, recipe, rgb, limit
):
    """A process that HDF5 ends would end the tests."""
    write(tmp_path / "whole.h5", recipe(), rgb)
    size = (tmp_path / "whole.h5").stat().st_size
    places = [0, 100, 512, 513, *range(1000, size - 4000, size // 40), size - 600, size - 1]
    for place in places:
        limit(place)
        with pytest.raises(NoSpaceError, match="no space left for .*v.h5"):
            write(tmp_path / "v.h5", recipe(), rgb)
        assert [p.name for p in tmp_path.iterdir()] == ["whole.h5"], place
    limit(size)
    write(tmp_path / "v.h5", recipe(), rgb)
    assert (tmp_path / "v.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    Entry(tmp_path / "v.h5").verify()


def test_the_first_error_is_the_one_that_is_told_and_what_fits_is_kept(tmp_path, limit):
    with OutputFile(tmp_path / "file") as file:
        file.write(b"0123")
        file.check()
        limit(6)
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
