"""An extraction that is killed again and again ends in the same cache as one that is not."""

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import time

import killed_extraction
import made_videos as made
import pytest

from flowcache.cache.store import FlowCache

VIDEOS = 10

if not hasattr(os, "killpg"):
    pytest.skip("this system has no SIGKILL", allow_module_level=True)


@pytest.fixture
def start(tmp_path, recipe, monkeypatch):
    """Begin an extraction of ten small videos; the interpreter that it is forked from is warm."""
    root = tmp_path / "videos"
    for i in range(VIDEOS):
        frames = made.moving_scene(24 + 4 * i, 72, 96, 1 + i / 5, -0.5, seed=i)
        made.write_video(root / f"class{i % 3}" / f"v_{i}.avi", frames)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_extraction"])

    def begin(cache):
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=killed_extraction.extract, args=(root, cache, recipe(), theirs)
        )
        process.start()
        theirs.close()
        assert mine.recv() == "begun"
        return process, mine

    return begin


def content(cache):
    paths = sorted(p for p in cache.rglob("*") if p.is_file() and p.suffix in (".h5", ".json"))
    return {p.relative_to(cache).as_posix(): p.read_bytes() for p in paths}


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_at_random_moments_leave_the_cache_of_an_undisturbed_run(start, tmp_path, kills):
    process, signs = start(tmp_path / "undisturbed")
    assert signs.recv() == "working"
    first_fields = time.monotonic()
    process.join()
    working = time.monotonic() - first_fields
    assert process.exitcode == 0
    expected = content(tmp_path / "undisturbed")
    assert len(expected) == VIDEOS + 1

    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    moments = random.Random(seed)
    cache = tmp_path / "cache"
    met_a_writer = 0
    for kill in range(kills):
        process, signs = start(cache)
        if kill % 5:  # else it dies somewhere on its way to the first fields
            with contextlib.suppress(EOFError):  # all was done
                signs.recv()
        process.join(timeout=moments.uniform(0, 0.6 * working))
        if kill % 2:
            process.kill()  # the parent alone: its children must notice
        elif process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        met_a_writer += any(cache.rglob("*.part"))
        # Whatever has an entry's name is the whole entry, at any time.
        found = content(cache)
        assert found == {name: expected[name] for name in found}
        done = sorted(name for name in found if name.endswith(".h5"))
        if len(done) > VIDEOS // 2:  # so that there is work to kill
            for name in moments.sample(done, VIDEOS // 2):
                (cache / name).unlink()
    assert kills < 20 or met_a_writer > 5, "hardly a kill met a writer at work"

    process, _ = start(cache)
    process.join()
    assert process.exitcode == 0
    assert not [problem for _, problem in FlowCache.open(cache).verify(jobs=1) if problem]
    assert content(cache) == expected
    assert not list(cache.rglob("*.part"))
