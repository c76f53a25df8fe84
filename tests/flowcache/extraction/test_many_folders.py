"""Extractions from and into folders as they are: links, odd names, full devices."""

import csv
import errno
import os

import made_videos as made
import pytest

from flowcache.atomic import NoSpaceError
from flowcache.extraction.many import extract_folder
from flowcache.extraction.one import Job
from flowcache.extraction.outcome import Outcome

pytestmark = pytest.mark.usefixtures("lasting_children")


@pytest.fixture
def folder(tmp_path):
    """Three small videos in two classes."""
    root = tmp_path / "videos"
    made.write_small_videos(root, ["run/a.avi", "run/b.avi", "jump/c.avi"])
    return root


def reasons(summary):
    return {o.job.name: o.reason for o in summary.failures}


def failures_file(cache):
    with (cache.root / "failures.csv").open(newline="", encoding="utf-8") as file:
        return {row["video"]: row["reason"] for row in csv.DictReader(file)}


# Links


def test_links_to_videos_and_folders_get_entries_at_the_links_places(folder, cache, tmp_path):
    pool = tmp_path / "pool"
    (folder / "jump").rename(pool)
    (folder / "leap").symlink_to(pool)
    (folder / "run" / "b.avi").rename(tmp_path / "b.avi")
    (folder / "run" / "b1.avi").symlink_to(tmp_path / "b.avi")
    (folder / "run" / "b2.avi").symlink_to(tmp_path / "b.avi")
    (folder / "run" / "gone.avi").symlink_to(pool / "gone.avi")
    summary = extract_folder(folder, cache, jobs=1)
    assert cache.ids() == ["leap/c", "run/a", "run/b1"]
    assert {info.source.name for _, info in cache.infos()} == {
        *("leap/c.avi", "run/a.avi", "run/b1.avi")
    }
    assert [s.path.name for s in summary.repeated] == ["b2.avi"]
    assert reasons(summary) == failures_file(cache)
    assert set(reasons(summary)) == {"run/gone.avi"}


def test_a_link_in_the_place_of_an_entry_is_replaced_and_nothing_is_made_where_it_leads(
    folder, cache, tmp_path
):
    (cache.root / "run").mkdir()
    (cache.root / "run" / "a.h5").symlink_to(tmp_path / "nothing.h5")
    assert not extract_folder(folder, cache, jobs=1).failures
    assert not (tmp_path / "nothing.h5").exists()
    assert cache.ids() == ["jump/c", "run/a", "run/b"]
    assert not cache.path("run/a").is_symlink()


def test_a_dangling_folder_of_the_cache_is_one_sentence_and_is_not_made(folder, cache, tmp_path):
    (cache.root / "run").symlink_to(tmp_path / "nothing")
    summary = extract_folder(folder, cache, jobs=1)
    assert reasons(summary) == dict.fromkeys(
        ["run/a.avi", "run/b.avi"], f"File exists: {cache.root / 'run'}"
    )
    assert not (tmp_path / "nothing").exists()


def test_a_folder_in_the_place_of_an_entry_is_one_sentence(folder, cache):
    cache.path("run/a").mkdir(parents=True)
    summary = extract_folder(folder, cache, jobs=1)
    assert reasons(summary) == {"run/a.avi": f"Is a directory: {cache.path('run/a')}"}


# Names


def test_a_name_that_is_no_text_is_one_failure_and_the_list_is_written(folder, cache):
    (folder / "run" / "b.avi").rename(folder / "run" / os.fsdecode(b"\xff.avi"))
    summary = extract_folder(folder, cache, jobs=1)
    assert cache.ids() == ["jump/c", "run/a"]
    assert failures_file(cache) == {"run/\\xff.avi": "its name is no UTF-8 text: rename it"}
    assert reasons(summary) == failures_file(cache)


def test_every_name_that_a_video_can_have_gets_an_entry(folder, cache):
    names = ["x" * 251 + ".avi", "ü" * 120 + ".avi", "a\nb.avi", "a b\u2028.avi"]
    for i, name in enumerate(names):
        made.write_video(folder / "run" / name, made.moving_scene(4, 40, 56, 1, 0, seed=i))
    assert not extract_folder(folder, cache, jobs=1).failures
    assert len(cache.ids()) == 3 + len(names)
    assert [problem for _, problem in cache.verify(jobs=1) if problem] == []


def test_what_the_system_refuses_is_one_sentence(tmp_path):
    job = Job(tmp_path / "v.avi", "v.avi", tmp_path / "v.h5")
    for error, reason in {
        OSError(errno.ENAMETOOLONG, "File name too long"): (
            "its name is too long for the folder of the cache: rename it"
        ),
        OSError(errno.EIO, "Input/output error", "v\udcff.h5"): "Input/output error: v\\xff.h5",
        OSError("three\nlines"): "OSError: three",
    }.items():
        assert Outcome.of_error(job, error).reason == reason


# Full devices


@pytest.mark.own_children
def test_a_full_device_stops_at_once_and_what_is_done_stays(folder, cache, limit_file_size):
    extract_folder(folder, cache, jobs=1)
    before = {i: cache.path(i).read_bytes() for i in cache.ids()}
    for i in range(4):
        made.write_video(folder / "new" / f"{i}.avi", made.moving_scene(20, 80, 96, 1, 0, seed=i))
    begun = set()
    limit_file_size(max(map(len, before.values())) + 1000)
    with pytest.raises(NoSpaceError, match=r"no space left for .* \(File too large\): make room"):
        extract_folder(folder, cache, jobs=1, on_progress=lambda job, *_: begun.add(job.name))
    assert len(begun) <= 1
    assert {i: cache.path(i).read_bytes() for i in cache.ids()} == before
    assert not list(cache.root.rglob("*.part"))
    limit_file_size(1 << 30)
    summary = extract_folder(folder, cache, jobs=1)
    assert not summary.failures
    assert summary.count("kept") == 3


# What is kept


def test_a_changed_video_is_noticed_though_its_size_and_date_are_as_before(folder, cache):
    extract_folder(folder, cache, jobs=1)
    video = folder / "run" / "a.avi"
    date, content = video.stat().st_mtime_ns, bytearray(video.read_bytes())
    content[-5] ^= 1  # of the index behind the pictures
    video.write_bytes(content)
    os.utime(video, ns=(date, date))
    summary = extract_folder(folder, cache, jobs=1)
    assert [o.job.name for o in summary.outcomes if o.kind == "done"] == ["run/a.avi"]
    assert summary.damaged == []


def test_entries_with_a_changed_byte_are_made_again_and_named(folder, cache):
    made.write_video(folder / "run" / "d.avi", made.moving_scene(6, 40, 56, 0, 1))
    extract_folder(folder, cache, jobs=1)
    whole = {i: cache.path(i).read_bytes() for i in cache.ids()}
    damaged = ("jump/c", "run/a", "run/b")
    for identifier, part in zip(damaged, (0.001, 0.5, 0.9999), strict=True):
        content = bytearray(whole[identifier])
        content[int(part * len(content))] ^= 1
        cache.path(identifier).write_bytes(content)
    summary = extract_folder(folder, cache, jobs=1)
    assert {i: cache.path(i).read_bytes() for i in cache.ids()} == whole
    assert [o.job.name for o in summary.damaged] == [f"{i}.avi" for i in damaged]
    for identifier, outcome in zip(damaged, summary.damaged, strict=True):
        assert str(cache.path(identifier)) in outcome.damaged
    assert summary.count("kept") == 1


def test_entries_without_a_video_are_named_and_stay(folder, cache):
    assert extract_folder(folder, cache, jobs=1).without_video == []
    (folder / "run" / "b.avi").unlink()
    (folder / "jump" / "c.avi").rename(folder / "jump" / "c2.avi")
    summary = extract_folder(folder, cache, jobs=1)
    assert summary.without_video == ["jump/c", "run/b"]
    assert cache.ids() == ["jump/c", "jump/c2", "run/a", "run/b"]
