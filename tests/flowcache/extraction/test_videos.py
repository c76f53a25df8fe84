"""Which videos a folder holds, whatever else is in it."""

import os

import pytest

from flowcache.errors import UserError
from flowcache.extraction.videos import find_videos, plan


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "videos"


def places(root, paths):
    return [path.relative_to(root).as_posix() for path in paths]


def test_videos_are_found_by_their_ending_in_any_case_and_in_order(root):
    touch(root, "b/X.AVI", "a/y.mp4", "a/.y.mp4", ".git/z.avi", "a/readme.md", "c.webm")
    (root / "folder.mp4").mkdir()
    found = find_videos(root)
    assert places(root, found.videos) == ["a/y.mp4", "b/X.AVI", "c.webm"]
    assert places(root, found.ignored) == ["a/readme.md"]
    assert found.repeated == found.lost == []
    assert found.size_bytes == len("b/X.AVIa/y.mp4c.webm")


def test_linked_videos_and_folders_have_the_ids_of_their_places(root, cache, tmp_path):
    touch(tmp_path / "pool", "1.avi", "deep/2.avi")
    root.mkdir()
    (root / "run").symlink_to(tmp_path / "pool" / "deep", target_is_directory=True)
    (root / "jump.avi").symlink_to(tmp_path / "pool" / "1.avi")
    jobs, failed = plan(root, find_videos(root), cache)
    assert {job.name: job.entry for job in jobs} == {
        "run/2.avi": cache.root / "run" / "2.h5",
        "jump.avi": cache.root / "jump.h5",
    }
    assert {job.video.read_bytes() for job in jobs} == {b"1.avi", b"deep/2.avi"}
    assert failed == []


def test_a_folder_that_is_itself_a_link_is_as_good(root, cache, tmp_path):
    touch(tmp_path / "real", "run/a.avi")
    root.symlink_to(tmp_path / "real", target_is_directory=True)
    jobs, failed = plan(root, find_videos(root), cache)
    assert [job.name for job in jobs] == ["run/a.avi"]
    assert failed == find_videos(root).repeated == []


def test_a_video_that_is_reached_twice_is_taken_once_at_its_own_place(root, tmp_path):
    touch(root, "b/v.avi")
    touch(tmp_path / "pool", "far.avi")
    (root / "a").mkdir()
    (root / "a" / "first.avi").symlink_to(root / "b" / "v.avi")
    (root / "a" / "far_1.avi").symlink_to(tmp_path / "pool" / "far.avi")
    (root / "c").symlink_to(tmp_path / "pool")
    (root / "loop").symlink_to(root)
    found = find_videos(root)
    assert places(root, found.videos) == ["a/far_1.avi", "b/v.avi"]
    assert {s.path.relative_to(root).as_posix(): s.reason for s in found.repeated} == {
        "a/first.avi": f"is a link to {root / 'b/v.avi'}, which is taken",
        "c/far.avi": f"is a link to {root / 'a/far_1.avi'}, which is taken",
        "loop": "is a link to a folder that is taken at another place",
    }
    assert found.lost == []


def test_what_cannot_be_looked_into_fails_by_name(root, cache, lock_folders):
    touch(root, "run/a.avi", "locked/b.avi")
    (root / "run" / "gone.avi").symlink_to(root / "nothing.avi")
    (root / "gone").symlink_to(root / "nothing")
    lock_folders("locked")
    jobs, failed = plan(root, find_videos(root), cache)
    assert [job.name for job in jobs] == ["run/a.avi"]
    assert all(outcome.failed for outcome in failed)
    assert {outcome.job.name: outcome.reason for outcome in failed} == {
        "run/gone.avi": "it is a link that leads nowhere (No such file or directory)",
        "gone": "it is a link that leads nowhere (No such file or directory)",
        "locked": "it cannot be read (Permission denied)",
    }


def test_a_name_that_is_no_text_fails_by_name_and_the_others_go_on(root, cache):
    touch(root, "run/a.avi", os.fsdecode(b"run/\xff.avi"), os.fsdecode(b"\xfe/b.avi"))
    jobs, failed = plan(root, find_videos(root), cache)
    assert [job.name for job in jobs] == ["run/a.avi"]
    assert sorted(outcome.job.name for outcome in failed) == ["\\xfe/b.avi", "run/\\xff.avi"]
    assert {outcome.reason for outcome in failed} == {"its name is no UTF-8 text: rename it"}


def test_a_folder_above_whose_name_is_no_text_does_no_harm(tmp_path, cache):
    root = tmp_path / os.fsdecode(b"\xff")
    touch(root, "run/a.avi")
    jobs, failed = plan(root, find_videos(root), cache)
    assert [job.name for job in jobs] == ["run/a.avi"]
    assert failed == []


@pytest.mark.parametrize("make", ["absent", "file", "empty", "link to nothing"])
def test_where_there_is_no_video_one_sentence_says_so(root, make):
    if make == "file":
        root.touch()
    elif make != "absent":
        root.mkdir()
    if make == "link to nothing":
        (root / "run").symlink_to(root / "nothing")
    with pytest.raises(UserError, match=r"is no folder|holds no video") as caught:
        find_videos(root)
    assert caught.value.parameter == "videos"
    assert ("leads nowhere" in str(caught.value)) == (make == "link to nothing")


def test_a_video_that_goes_meanwhile_is_planned_all_the_same(root, cache):
    touch(root, "run/a.avi", "run/b.avi")
    found = find_videos(root)
    (root / "run" / "a.avi").unlink()
    jobs, _ = plan(root, found, cache)
    assert [job.name for job in jobs] == ["run/b.avi", "run/a.avi"]
    assert found.size_bytes == len("run/b.avi")
