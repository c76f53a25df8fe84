import errno
import os
import stat
import threading

import pytest

from flowcache.atomic import NoSpaceError, atomic_path, is_temporary, paths_below, require_writable
from flowcache.errors import UserError


def test_what_is_written_appears_whole_under_its_name_only_at_the_end(tmp_path):
    path = tmp_path / "deep" / "er" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".")
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_where_a_file_can_be_written_is_known_before_it_is(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    require_writable(path, "output")
    assert list(path.parent.iterdir()) == []
    path.write_text("old")
    with pytest.raises(UserError, match=r"file\.txt.below cannot be written") as caught:
        require_writable(path / "below", "output")
    assert caught.value.parameter == "output"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
def test_a_pipe_is_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(UserError, match="is a pipe or a device"):
        require_writable(path, "output")
    with pytest.raises(UserError, match="is a pipe or a device"), atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_is_read_only_is_known_before_it_is_written_to(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(UserError, match="permission denied"):
            require_writable(tmp_path / "file.txt", "output")
    finally:
        tmp_path.chmod(0o755)


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing_and_the_old_file_as_it_was(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_block_that_writes_nothing_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "file.txt"):
        pass
    assert not list(tmp_path.iterdir())


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file.txt"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_it_is_flushed_to_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path, events = tmp_path / "file.txt", []
    real = os.fsync

    def fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        events.append((kind, path.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_path(path) as temporary:
        temporary.write_text("x")
    assert events == [("file", False), ("folder", True)]


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "name with spaces.h5",
        "x" * 252 + ".h5",
        "ü" * 126 + ".h5",
        ".dot",
        os.fsdecode(b"\xff"),
    ],
)
def test_any_name_that_a_file_can_have_will_do(tmp_path, name):
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("x")
    assert (tmp_path / name).read_text() == "x"


def test_what_may_not_replace_leaves_the_older_file(tmp_path):
    path = tmp_path / "file.txt"
    with atomic_path(path, replace=False) as temporary:
        temporary.write_text("first")
    with pytest.raises(FileExistsError), atomic_path(path, replace=False) as temporary:
        temporary.write_text("second")
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("hard_links", [True, False])
def test_of_many_that_may_not_replace_one_wins(tmp_path, monkeypatch, hard_links):
    if not hard_links:

        def link(*_):
            raise OSError(errno.EPERM, "there are no hard links on this file system")

        monkeypatch.setattr(os, "link", link)
    path, lost = tmp_path / "file.txt", []
    begun = threading.Barrier(8 if hard_links else 1)

    def write(number):
        try:
            with atomic_path(path, replace=False) as temporary:
                temporary.write_text(f"{number}")
                begun.wait()
        except FileExistsError:
            lost.append(number)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
        if not hard_links:  # without them it is certain only one after the other
            thread.join()
    for thread in threads:
        thread.join()
    assert sorted([*lost, int(path.read_text())]) == list(range(8))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_device_is_one_sentence_and_leaves_nothing(tmp_path, number):
    with (  # noqa: PT012
        pytest.raises(NoSpaceError) as caught,
        atomic_path(tmp_path / "file.txt") as temporary,
    ):
        temporary.write_text("half")
        raise OSError(number, "a long\nstory")
    assert str(caught.value) == (
        f"no space left for {tmp_path / 'file.txt'} ({os.strerror(number)}): make room on the device, "
        "and give the same command again"
    )
    assert not list(tmp_path.iterdir())


OWN = [
    ".twostream-0123456789ab.part",
    ".v_9 [x].h5.0123456789ab.part",  # as earlier versions named it
    ".cache.json.0123456789ab.part",
]
OTHERS = [
    *("v.h5", ".hidden", "movie.part", ".lock", ".v.h5.part", ".movie.part", "twostream.part"),
    *(".movie.0123456789ab.part", ".movie.mp4.0123456789ab.part", ".v.h5.0123456789abc.part"),
    ".twostream-0123456789ab.part.bak",
]


def test_only_its_own_temporary_names_are_known(tmp_path):
    with atomic_path(tmp_path / "file.txt") as temporary:
        temporary.touch()
        assert is_temporary(temporary.name)
    assert all(is_temporary(name) for name in OWN)
    assert not any(is_temporary(name) for name in OTHERS)


# Paths below a folder


def names(tree):
    return sorted(path.relative_to(tree).as_posix() for path in paths_below(tree))


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "b" / "file").touch()
    (tmp_path / "tree" / ".hidden").touch()
    return tmp_path / "tree"


def test_files_and_folders_are_listed_hidden_ones_too(tree):
    assert names(tree) == [".hidden", "a", "a/b", "a/b/file"]


def test_where_there_is_no_folder_there_is_nothing(tmp_path):
    assert names(tmp_path / "absent") == []


def test_links_are_followed(tree, tmp_path):
    (tmp_path / "disk" / "c").mkdir(parents=True)
    (tmp_path / "disk" / "c" / "file").touch()
    (tree / "link").symlink_to(tmp_path / "disk")
    (tree / "same").symlink_to(tree / "a" / "b")
    (tree / "broken").symlink_to(tmp_path / "absent")
    of_links = ["broken", "link", "link/c", "link/c/file", "same", "same/file"]
    assert names(tree) == [".hidden", "a", "a/b", "a/b/file", *of_links]


def test_a_link_to_a_folder_above_it_ends_there(tree):
    (tree / "a" / "b" / "up").symlink_to(tree)
    (tree / "a" / "b" / "own").symlink_to(tree / "a" / "b")
    (tree / "a" / "itself").symlink_to(tree / "a" / "itself")
    assert names(tree) == sorted(
        [".hidden", "a", "a/b", "a/b/file", "a/b/own", "a/b/up", "a/itself"]
    )


def test_a_folder_that_cannot_be_read_is_named(tree, monkeypatch):
    def denied(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", denied)  # who runs the tests may be allowed everything
    with pytest.raises(UserError, match="tree cannot be read: Permission denied"):
        names(tree)
