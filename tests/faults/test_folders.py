"""An extraction that is stopped again and again ends in the same cache as one that is not."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter

import killed_extraction
import made_videos as made
import psutil
import pytest

from flowcache.cache.store import FlowCache

VIDEOS = 10
STOPPED = "videos have their entries, which are kept; the same command goes on with the rest"

if not hasattr(os, "killpg"):
    pytest.skip("this system has no signals", allow_module_level=True)


class Run:
    """One call of the command, in a process group of its own."""

    def __init__(self, context, videos, cache, output):
        mine, theirs = context.Pipe(duplex=False)
        self.output = output
        self.process = context.Process(
            target=killed_extraction.extract, args=(videos, cache, output, theirs)
        )
        self.process.start()
        theirs.close()
        assert mine.recv() == "begun"
        self.start = time.monotonic()

    def end(self):
        """Its status and what it printed, when it and all its children have ended."""
        self.process.join()
        _, alive = psutil.wait_procs(self._group(), timeout=60)
        assert not alive, f"orphans: {alive}"
        return self.process.exitcode, self.output.read_text()

    def _group(self):
        found = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == self.process.pid:
                    found.append(process)
            except ProcessLookupError:
                pass
        return found


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begin an extraction of ten small videos into a cache."""
    root = tmp_path / "videos"
    for i in range(VIDEOS):
        frames = made.moving_scene(24 + 4 * i, 72, 96, 1 + i / 5, -0.5, seed=i)
        made.write_video(root / f"class{i % 3}" / f"v_{i}.avi", frames)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_extraction"])
    return lambda cache: Run(context, root, cache, tmp_path / "output.txt")


def content(cache):
    paths = sorted(p for p in cache.rglob("*") if p.is_file() and p.suffix in (".h5", ".json"))
    return {p.relative_to(cache).as_posix(): p.read_bytes() for p in paths}


def send(run, kind):
    """A signal to the parent alone, whose children must notice, or to all, as a terminal sends it."""
    number, to_all = kind
    if not run.process.is_alive():
        return
    (os.killpg if to_all else os.kill)(run.process.pid, number)


KINDS = [
    (signal.SIGKILL, False),
    (signal.SIGTERM, False),
    (signal.SIGINT, True),
    (signal.SIGKILL, True),
    (signal.SIGTERM, True),
    (signal.SIGINT, False),
]
"""As systems and people send them come first."""


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, marks=pytest.mark.slow),
        pytest.param(100, marks=[pytest.mark.slow, pytest.mark.faults]),
    ],
)
def test_signals_at_random_moments_leave_the_cache_of_an_undisturbed_run(begin, tmp_path, kills):
    run = begin(tmp_path / "undisturbed")
    assert run.end()[0] == 0
    whole = time.monotonic() - run.start
    expected = content(tmp_path / "undisturbed")
    assert len(expected) == VIDEOS + 1

    moments = random.Random(kills)
    cache, ends = tmp_path / "cache", Counter()
    for kill in range(kills):
        number, _ = kind = KINDS[kill % len(KINDS)]
        run = begin(cache)
        run.process.join(timeout=moments.uniform(0, 0.4 * whole))
        send(run, kind)
        status, printed = run.end()
        if STOPPED in printed:  # it was asked to end, and left no work half-done
            assert status == 128 + number
            assert not list(cache.rglob("*.part"))
            assert "Traceback" not in printed  # of a child, for instance
        ends[f"{number.name}, status {status}" + ", a writer at work" * _half_written(cache)] += 1
        # Whatever has an entry's name is the whole entry, at any time.
        found = content(cache)
        assert found == {name: expected[name] for name in found}
        done = sorted(name for name in found if name.endswith(".h5"))
        if len(done) > VIDEOS // 2:  # so that there is work to stop
            for name in moments.sample(done, VIDEOS // 2):
                (cache / name).unlink()
    print(dict(ends))
    assert kills < 100 or sum(n for end, n in ends.items() if "writer" in end) > 5

    assert begin(cache).end()[0] == 0
    assert not [problem for _, problem in FlowCache.open(cache).verify(jobs=1) if problem]
    assert content(cache) == expected
    assert not list(cache.rglob("*.part"))


def _half_written(cache):
    return any(cache.rglob("*.part"))
