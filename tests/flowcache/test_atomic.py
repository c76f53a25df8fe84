import os
import stat

import pytest

from flowcache.atomic import atomic_path, paths_below, remove_leftovers
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
    import os

    real = os.fsync

    def fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        events.append((kind, path.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_path(path) as temporary:
        temporary.write_text("x")
    assert events == [("file", False), ("folder", True)]


@pytest.mark.parametrize("name", ["a", "name with spaces.h5", "x" * 200 + ".h5", "ünï.h5", ".dot"])
def test_any_name_will_do(tmp_path, name):
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("x")
    assert (tmp_path / name).read_text() == "x"


def test_leftovers_of_the_killed_go_and_nothing_else(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    keep = [folder / "v.h5", folder / ".hidden", folder / "movie.part", tmp_path / ".lock"]
    for path in keep:
        path.touch()
    for path in (tmp_path / "x.h5", folder / "y [1].h5"):
        with atomic_path(path) as temporary:
            temporary.touch()
            killed = temporary.name
        path.rename(path.with_name(killed))  # as if it had not come to the end
    assert remove_leftovers(tmp_path) == 2
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(keep)
    assert remove_leftovers(tmp_path) == 0


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
