import os

import pytest

from flowcache.cache.folders import walk


def files_of(root, **how):
    """Files by their place under a folder, and what was skipped: (place, whether it is lost)."""
    skipped = []
    files = [p.relative_to(root).as_posix() for p in walk(root, skipped.append, **how)]
    return files, {s.path.relative_to(root).as_posix(): s for s in skipped}


@pytest.fixture
def root(tmp_path):
    for name in ("a/x", "b/c/y", ".git/z", "a/.hidden"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "root"


def test_every_file_is_found_hidden_ones_where_wanted(root):
    assert sorted(files_of(root)[0]) == ["a/x", "b/c/y"]
    everything = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    assert sorted(files_of(root, hidden=True)[0]) == everything
    assert files_of(root, hidden=True)[1] == {}


def test_links_keep_the_place_that_they_have_in_the_tree(root, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    (elsewhere / "far").touch()
    (root / "b" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "file").symlink_to(elsewhere / "far")
    files, skipped = files_of(root)
    assert sorted(files) == ["a/file", "a/x", "b/c/y", "b/linked/deep/far"]
    assert skipped == {}


def test_a_loop_ends_and_what_lies_in_the_tree_by_itself_comes_first(root):
    (root / "a" / "up").symlink_to(root)
    (root / "0").symlink_to(root / "b")  # sorted, it comes before what it leads to
    files, skipped = files_of(root)
    assert sorted(files) == ["a/x", "b/c/y"]
    assert {name: s.lost for name, s in skipped.items()} == {"a/up": False, "0": False}


def test_the_order_is_the_same_at_all_times(root, monkeypatch):
    expected = files_of(root)[0]
    real = os.scandir

    class Reversed:
        def __init__(self, folder):
            self._entries = real(folder)

        def __enter__(self):
            return reversed(list(self._entries))

        def __exit__(self, *_):
            self._entries.close()

    monkeypatch.setattr(os, "scandir", Reversed)
    assert files_of(root)[0] == expected


def test_what_leads_nowhere_is_no_file_or_cannot_be_read_is_named_as_lost(root, lock_folders):
    (root / "gone.avi").symlink_to(root / "nothing")
    (root / "itself").symlink_to(root / "itself")
    os.mkfifo(root / "pipe.avi")
    lock_folders("c")
    files, skipped = files_of(root)
    assert files == ["a/x"]
    assert {name: s.reason for name, s in skipped.items()} == {
        "gone.avi": "is a link that leads nowhere (No such file or directory)",
        "itself": "is a link that leads nowhere (Too many levels of symbolic links)",
        "pipe.avi": "is neither a file nor a folder",
        "b/c": "cannot be read (Permission denied)",
    }
    assert all(s.lost for s in skipped.values())
