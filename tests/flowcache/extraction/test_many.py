import csv
import json
import os
import shutil
from pathlib import Path

import made_videos as made
import numpy as np
import pytest
import stub_decoders as stubs

from flowcache.cache.entry import Entry
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.extraction.many import extract_folder
from flowcache.types import FlowStack
from flowcache.workers.device_client import flow_at_step

pytestmark = pytest.mark.usefixtures("lasting_children")


@pytest.fixture
def folder(tmp_path):
    """Three small videos in two classes."""
    root = tmp_path / "videos"
    made.write_small_videos(root, ["run/a.avi", "run/b [1] 'x'.avi", "jump/c.avi"])
    return root


def kinds(summary):
    return {o.job.name: o.kind for o in summary.outcomes}


def failures_file(cache):
    path = cache.root / "failures.csv"
    if not path.exists():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def content(cache):
    """Every file of a cache that a reader may open."""
    paths = sorted(p for p in cache.root.rglob("*") if p.is_file() and p.suffix in (".h5", ".json"))
    return {p.relative_to(cache.root).as_posix(): p.read_bytes() for p in paths}


def check(cache, names):
    assert cache.ids() == sorted(names)
    assert [problem for _, problem in cache.verify(jobs=1) if problem] == []


# Whole folders


@pytest.mark.own_children
def test_every_video_gets_its_entry_at_the_same_place(folder, cache):
    (folder / "notes.txt").write_text("no video")
    (folder / ".hidden.avi").write_text("hidden")
    seen, progress = [], []
    summary = extract_folder(
        folder,
        cache,
        jobs=2,
        on_outcome=seen.append,
        on_progress=lambda job, done, expected: progress.append((job.name, done, expected)),
    )
    assert kinds(summary) == dict.fromkeys(["run/a.avi", "run/b [1] 'x'.avi", "jump/c.avi"], "done")
    check(cache, ["run/a", "run/b [1] 'x'", "jump/c"])
    fields = {i: info.fields for i, info in cache.infos()}
    assert fields == {"run/a": 5, "run/b [1] 'x'": 6, "jump/c": 7}
    assert summary.fields == 18
    assert [o.job.name for o in seen] == [o.job.name for o in summary.outcomes]
    assert {p for p in progress if p[1] == p[2]} >= {("run/a.avi", 5, 5), ("jump/c.avi", 7, 7)}
    assert [p.name for p in summary.ignored] == ["notes.txt"]
    assert not summary.failures
    assert failures_file(cache) is None
    assert {info.source.name for _, info in cache.infos()} == set(kinds(summary))


def test_what_is_done_is_kept_to_the_byte(folder, cache):
    extract_folder(folder, cache, jobs=1)
    before = content(cache)
    stamps = {i: cache.path(i).stat().st_mtime_ns for i in cache.ids()}
    summary = extract_folder(folder, cache, jobs=1)
    assert set(kinds(summary).values()) == {"kept"}
    assert content(cache) == before
    assert {i: cache.path(i).stat().st_mtime_ns for i in cache.ids()} == stamps
    assert summary.fields == 0


def test_a_video_that_changed_is_done_again_and_only_that(folder, cache):
    extract_folder(folder, cache, jobs=1)
    made.write_video(folder / "run/a.avi", made.moving_scene(4, 40, 56, -2.0, 0.0))
    os.utime(folder / "jump/c.avi", ns=(1, 1))  # touched, not changed
    summary = extract_folder(folder, cache, jobs=1)
    assert kinds(summary) == {
        "run/a.avi": "done",
        "run/b [1] 'x'.avi": "kept",
        "jump/c.avi": "kept",
    }
    assert cache.entry("run/a").info.fields == 3
    check(cache, ["run/a", "run/b [1] 'x'", "jump/c"])


def test_an_entry_that_cannot_be_read_is_done_again(folder, cache):
    extract_folder(folder, cache, jobs=1)
    before = content(cache)
    cache.path("run/a").write_bytes(cache.path("run/a").read_bytes()[:700])
    cache.path("jump/c").write_bytes(b"")
    summary = extract_folder(folder, cache, jobs=1)
    assert sorted(o.job.name for o in summary.outcomes if o.kind == "done") == [
        "jump/c.avi",
        "run/a.avi",
    ]
    assert content(cache) == before


@pytest.mark.own_children
def test_the_joblib_backend_makes_no_difference(folder, cache, tmp_path):
    other = FlowCache.create(tmp_path / "other", cache.recipe)
    extract_folder(folder, cache, jobs=1)
    extract_folder(folder, other, jobs=2, joblib_backend="loky")
    assert content(other) == content(cache)


def test_two_videos_of_one_name_are_reported_and_neither_overwrites_the_other(folder, cache):
    made.write_video(folder / "run/a.mp4", made.moving_scene(9, 40, 56, 0, 0), made.H264_MP4)
    for _ in range(2):
        summary = extract_folder(folder, cache, jobs=1)
        (failure,) = summary.failures
        assert failure.job.name == "run/a.mp4"
        assert failure.kind == "failed"
        assert "run/a.avi has the same name" in failure.reason
        assert cache.entry("run/a").info.source.name == "run/a.avi"
        assert [f["video"] for f in failures_file(cache)] == ["run/a.mp4"]


def test_a_folder_without_videos_is_refused(tmp_path, cache):
    with pytest.raises(UserError, match="is no folder"):
        extract_folder(tmp_path / "absent", cache)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(UserError, match="holds no video"):
        extract_folder(tmp_path / "empty", cache)


def test_a_second_extraction_into_the_same_cache_is_refused_while_one_runs(folder, cache):
    with cache.writing(), pytest.raises(UserError, match="another extraction"):
        extract_folder(folder, cache, jobs=1)
    assert cache.ids() == []


def test_relative_folders_do_as_well(folder, tmp_path, recipe, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = FlowCache.create(Path("cache"), recipe())
    assert not extract_folder(Path("videos"), cache, jobs=1).failures
    check(cache, ["run/a", "run/b [1] 'x'", "jump/c"])


@pytest.mark.parametrize(
    ("frames", "step"), [(f, s) for f in (2, 5, 6, 9) for s in (1, 2, 3, 5) if s < f]
)
def test_flow_at_a_step_pairs_each_frame_with_that_a_step_later(frames, step):
    gray = np.arange(frames, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 5), np.uint8)

    def difference(stack):  # an algorithm that tells which two frames it saw
        data = np.empty((len(stack) - 1, 2, 4, 5), np.float32)
        data[:, 0], data[:, 1] = stack[:-1], stack[1:]
        return FlowStack(data)

    flow = flow_at_step(difference, gray, step).data[:, :, 0, 0]
    assert flow.tolist() == [[t, t + step] for t in range(frames - step)]


# Videos that fail


def test_the_odd_folder_loses_exactly_what_is_broken_and_says_why(data, tmp_path, recipe):
    cache = FlowCache.create(tmp_path / "cache", recipe("dis", size="48"))
    summary = extract_folder(data / "odd", cache, jobs=2)
    failed = {o.job.name: (o.kind, o.reason) for o in summary.failures}
    assert set(failed) == {"bad_video.mp4", "corrupted.mp4", "testsrc2_mpeg4.mp4"}
    assert failed["bad_video.mp4"][0] == failed["corrupted.mp4"][0] == "broken"
    assert "not a readable video" in failed["bad_video.mp4"][1]
    assert "at frame 28 (2.70 s)" in failed["corrupted.mp4"][1]
    assert failed["testsrc2_mpeg4.mp4"][0] == "too short"
    assert "1 frame, and flow needs 2" in failed["testsrc2_mpeg4.mp4"][1]
    assert [(f["video"], (f["kind"], f["reason"])) for f in failures_file(cache)] == sorted(
        failed.items()
    )
    expected = {
        p.stem: len(made.decode_plainly(p)) - 1
        for p in (data / "odd").iterdir()
        if p.name not in failed
    }
    assert {i: info.fields for i, info in cache.infos()} == expected
    check(cache, expected)
    upright = {i: info.original_width < info.original_height for i, info in cache.infos()}
    assert {i for i, tall in upright.items() if tall} == {
        "nasa_13013_rotated",
        "video_90",
        "video_270",
    }


def test_what_decoded_of_a_broken_video_is_kept_where_wanted_and_marked(data, tmp_path, recipe):
    root = tmp_path / "videos"
    root.mkdir()
    for name in ("corrupted.mp4", "bad_video.mp4", "testsrc2_mpeg4.mp4"):
        shutil.copy(data / "odd" / name, root)
    cache = FlowCache.create(tmp_path / "cache", recipe(size="48"))
    assert len(extract_folder(root, cache, jobs=1).failures) == 3
    assert cache.ids() == []
    for kind in ("done", "kept"):
        summary = extract_folder(root, cache, jobs=1, keep_partial=True)
        assert {o.job.name for o in summary.failures} == {"bad_video.mp4", "testsrc2_mpeg4.mp4"}
        (partial,) = summary.partial
        assert (partial.kind, partial.fields) == (kind, 27)
        assert "at frame 28" in partial.reason
    info = cache.entry("corrupted").info
    assert (info.frames, info.fields) == (28, 27)
    assert "at frame 28" in info.partial
    check(cache, ["corrupted"])
    # Asked for whole videos again, the partial entry is not one.
    assert len(extract_folder(root, cache, jobs=1).failures) == 3
    assert cache.ids() == []


def test_a_video_as_short_as_the_step_holds_no_field(tmp_path, recipe):
    for count in (1, 2, 3, 4):
        made.write_video(tmp_path / "v" / f"{count}.avi", made.numbered_frames(count))
    cache = FlowCache.create(tmp_path / "cache", recipe(frame_step=3))
    summary = extract_folder(tmp_path / "v", cache, jobs=1)
    assert {o.job.name: o.kind for o in summary.failures} == dict.fromkeys(
        ["1.avi", "2.avi", "3.avi"], "too short"
    )
    assert "3 frames, and flow needs 4" in summary.failures[2].reason
    check(cache, ["4"])


def test_failures_are_forgotten_once_they_are_gone(folder, cache):
    (folder / "run/z.avi").write_bytes(b"no video at all")
    extract_folder(folder, cache, jobs=1)
    assert [f["video"] for f in failures_file(cache)] == ["run/z.avi"]
    (folder / "run/z.avi").unlink()
    extract_folder(folder, cache, jobs=1)
    assert failures_file(cache) is None


def test_a_video_too_small_for_the_algorithm_is_named_with_a_way_out(tmp_path, recipe):
    made.write_video(tmp_path / "v" / "small.avi", made.numbered_frames(4, 12, 40))
    made.write_video(tmp_path / "v" / "large.avi", made.numbered_frames(4, 48, 72))
    cache = FlowCache.create(tmp_path / "cache", recipe("dis"))
    summary = extract_folder(tmp_path / "v", cache, jobs=1)
    (failure,) = summary.failures
    assert failure.job.name == "small.avi"
    assert "40x12" in failure.reason
    check(cache, ["large"])


@pytest.mark.parametrize(
    ("name", "kind", "words", "jobs"),
    [
        ("abort", "crashed", "SIGABRT", 2),
        ("segfault", "crashed", "SIGSEGV", 1),
        ("exit", "crashed", "status 3", 1),
        ("odd_error", "failed", "LookupError: quite unexpected", 1),
    ],
)
def test_a_decoder_that_crashes_loses_that_video_only(folder, cache, name, kind, words, jobs):
    made.write_video(folder / "jump" / f"{name}.avi", made.moving_scene(6, 40, 56, 1, 0))
    summary = extract_folder(folder, cache, jobs=jobs, decode=stubs.BadVideo)
    (failure,) = summary.failures
    assert (failure.job.name, failure.kind) == (f"jump/{name}.avi", kind)
    assert words in failure.reason
    check(cache, ["run/a", "run/b [1] 'x'", "jump/c"])
    assert failures_file(cache)[0]["kind"] == kind


def test_a_decoder_that_hangs_loses_that_video_only(folder, cache):
    made.write_video(folder / "jump" / "hang.avi", made.moving_scene(6, 40, 56, 1, 0))
    summary = extract_folder(folder, cache, jobs=1, decode=stubs.BadVideo, timeout=4.0)
    (failure,) = summary.failures
    assert (failure.job.name, failure.kind) == ("jump/hang.avi", "timed out")
    assert "no progress for 4 s" in failure.reason
    check(cache, ["run/a", "run/b [1] 'x'", "jump/c"])


def test_an_entry_left_from_a_video_that_has_since_broken_does_not_stay(folder, cache):
    extract_folder(folder, cache, jobs=1)
    whole = (folder / "run/a.avi").read_bytes()
    (folder / "run/a.avi").write_bytes(whole[: len(whole) // 2])
    summary = extract_folder(folder, cache, jobs=1)
    assert [o.job.name for o in summary.failures] == ["run/a.avi"]
    check(cache, ["run/b [1] 'x'", "jump/c"])


# Dask


@pytest.mark.slow
@pytest.mark.own_children
def test_the_dask_backend_makes_the_same_cache_on_two_worker_processes(folder, cache, tmp_path):
    distributed = pytest.importorskip("distributed")
    made.write_video(folder / "jump" / "abort.avi", made.moving_scene(6, 40, 56, 1, 0))
    (folder / "run" / "broken.avi").write_bytes(b"no video")
    other = FlowCache.create(tmp_path / "other", cache.recipe)
    extract_folder(folder, cache, jobs=1, decode=stubs.BadVideo)
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tcp://127.0.0.1:")
        summary = extract_folder(folder, other, scheduler=address, decode=stubs.BadVideo)
        assert {o.job.name: o.kind for o in summary.failures} == {
            "jump/abort.avi": "crashed",
            "run/broken.avi": "broken",
        }
        assert content(other) == content(cache)
        again = extract_folder(folder, other, scheduler=address)
        assert kinds(again)["run/a.avi"] == "kept"


def test_where_no_scheduler_answers_or_joblib_has_no_such_backend_there_is_one_sentence(
    folder, cache
):
    pytest.importorskip("distributed")
    with pytest.raises(UserError, match="no Dask scheduler answers at nonsense") as caught:
        extract_folder(folder, cache, scheduler="nonsense")
    assert caught.value.parameter == "scheduler"
    with pytest.raises(UserError, match="joblib has no backend 'nonsense': it has"):
        extract_folder(folder, cache, joblib_backend="nonsense")


# Two extractions side by side, and one that is interrupted


@pytest.mark.own_children
def test_two_extractions_in_one_process_leave_each_others_children_alone(folder, tmp_path, recipe):
    """The first is under way while the second begins and ends."""
    first, second = (FlowCache.create(tmp_path / name, recipe()) for name in ("a", "b"))
    inner = []

    def extract_the_other(job, done, expected):
        if not inner:
            inner.append(extract_folder(folder, second, jobs=1))

    outer = extract_folder(folder, first, jobs=1, on_progress=extract_the_other)
    assert not outer.failures
    assert not inner[0].failures
    assert content(first) == content(second)


@pytest.mark.own_children
def test_an_interrupt_ends_the_children_and_the_next_run_goes_on(folder, cache):
    def interrupt(job, done, expected):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_folder(folder, cache, jobs=1, on_progress=interrupt)
    assert not extract_folder(folder, cache, jobs=1).failures
    check(cache, ["run/a", "run/b [1] 'x'", "jump/c"])


def test_the_entry_says_which_bytes_it_was_made_from(folder, cache):
    import hashlib

    extract_folder(folder, cache, jobs=1)
    for identifier in cache.ids():
        source = Entry(cache.path(identifier)).info.source
        raw = (folder / source.name).read_bytes()
        assert source.sha256 == hashlib.sha256(raw).hexdigest()
        assert source.size_bytes == len(raw)
        assert json.loads(json.dumps(source.name)) == f"{identifier}.avi"
