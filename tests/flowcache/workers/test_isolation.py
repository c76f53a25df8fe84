import colorsys
import os
import pickle
import signal
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import stub_decoders as stubs

from flowcache.workers import isolation
from flowcache.workers.isolation import Children, CrashedError, TimedOutError
from flowcache.workers.protocol import UnreadableAnswerError


@pytest.fixture(scope="module")
def children():
    with Children() as children:
        yield children


@pytest.fixture
def run(children):
    def call(function, *args, timeout=60.0, **options):
        return children.run(function, *args, timeout=timeout, **options)

    return call


def test_results_come_back_from_another_process(run):
    assert run(stubs.add, 2, 3) == 5
    assert run(stubs.where_am_i) != os.getpid()
    value = {"array": np.arange(200_000), "text": "ü"}
    again = run(stubs.echo, value)
    np.testing.assert_array_equal(again["array"], value["array"])
    assert again["text"] == "ü"


def test_reports_arrive_in_order_before_the_result(run):
    seen = []
    assert run(stubs.count_up, 50, on_report=seen.append) == "done"
    assert seen == list(range(50))
    assert run(stubs.count_up, 50) == "done"  # and nobody has to listen


def test_what_is_raised_there_is_raised_here(run):
    with pytest.raises(ValueError, match="seven"):
        run(stubs.raise_it, "seven")
    with pytest.raises(stubs.DeepError, match="do this instead"):
        run(stubs.raise_it, "deep")


def test_an_error_that_cannot_be_pickled_still_says_what_it_was(run):
    with pytest.raises(RuntimeError, match="UnpicklableError: two words"):
        run(stubs.raise_it, "unpicklable")
    assert run(stubs.add, 1, 1) == 2


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("abort", "died of SIGABRT"),
        ("segfault", "died of SIGSEGV"),
        ("kill", "died of SIGKILL"),
        ("3", "ended with status 3"),
        ("0", "ended with status 0"),
    ],
)
def test_a_process_that_dies_is_an_error_that_says_of_what(run, how, words):
    with pytest.raises(CrashedError, match=words):
        run(stubs.die, how)
    assert run(stubs.add, 1, 1) == 2


def test_a_function_that_hangs_is_killed_and_the_next_one_runs(run):
    with pytest.raises(TimedOutError, match="no progress for 1 s"):
        run(stubs.hang, timeout=1.0)
    assert run(stubs.add, 1, 1) == 2


def test_a_report_is_a_sign_of_life_and_silence_after_it_is_not(run):
    seen = []
    with pytest.raises(TimedOutError):
        run(stubs.report_then_hang, 5, timeout=1.5, on_report=seen.append)
    assert seen == [0, 1, 2, 3, 4]


def test_a_child_is_used_again_until_it_dies(run):
    first = run(stubs.where_am_i)
    assert run(stubs.where_am_i) == first
    with pytest.raises(ValueError, match="x"):
        run(stubs.raise_it, "x")
    assert run(stubs.where_am_i) == first
    with pytest.raises(CrashedError):
        run(stubs.die, "abort")
    second = run(stubs.where_am_i)
    assert second != first
    assert run(stubs.where_am_i) == second


def test_a_child_that_died_while_idle_is_replaced(run):
    first = run(stubs.where_am_i)
    os.kill(first, 9)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert run(stubs.where_am_i) != first


def test_a_function_that_has_no_module_is_sent_as_it_is(run):
    factor = 3

    def local(report):
        return 2 * factor

    assert run(local) == 6


def test_a_function_that_cannot_be_imported_there_is_an_error_and_not_a_crash(run):
    stubs.vanishing = lambda report: 1
    stubs.vanishing.__qualname__ = stubs.vanishing.__name__ = "vanishing"
    stubs.vanishing.__module__ = "stub_decoders"
    try:
        child = run(stubs.where_am_i)
        with pytest.raises(AttributeError, match="vanishing"):
            run(stubs.vanishing)
        assert run(stubs.where_am_i) == child
    finally:
        del stubs.vanishing


def test_a_result_that_cannot_be_pickled_is_an_error_and_the_next_one_runs(run):
    with pytest.raises(Exception, match="pickle"):
        run(stubs.return_unpicklable)
    assert run(stubs.add, 1, 1) == 2


def test_what_native_code_prints_does_not_disturb_the_answers(run, capfd):
    assert run(stubs.print_noise) == "quiet"
    assert run(stubs.add, 1, 1) == 2
    captured = capfd.readouterr()
    assert captured.out == ""


def test_several_run_at_once_and_each_gets_its_own_answer(run):
    answers, errors = {}, []

    def work(i):
        try:
            for j in range(5):
                answers[i, j] = run(stubs.add, i, j)
            if i == 1:
                run(stubs.die, "abort")
        except CrashedError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {(i, j): i + j for i in range(3) for j in range(5)}
    assert len(errors) == 1


# Faults that gave a wrong answer, or none


def test_an_answer_that_cannot_be_read_here_is_an_error_and_the_next_one_runs(run):
    child = run(stubs.where_am_i)
    with pytest.raises(UnreadableAnswerError, match="LookupError: not in this process"):
        run(stubs.answer_unreadably, os.getpid())
    assert run(stubs.where_am_i) == child


@pytest.mark.parametrize("error", [ValueError("of the callback"), KeyboardInterrupt()])
def test_a_callback_that_raises_never_gives_the_next_call_the_answer_to_this_one(run, error):
    def interrupted(_):
        raise error

    before = run(stubs.where_am_i)
    with pytest.raises(type(error)):
        run(stubs.count_up, 3, on_report=interrupted)
    assert run(stubs.add, 2, 3) == 5  # and not "done", which was on its way
    assert run(stubs.where_am_i) != before


@pytest.mark.parametrize("entry", ["", "the folder itself"])
def test_a_file_that_lies_beside_the_videos_is_not_imported(tmp_path, monkeypatch, entry):
    (tmp_path / "colorsys.py").write_text("raise SystemExit('executed')")
    (tmp_path / "of_the_user.py").write_text("here = True")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(entry and str(tmp_path))
    with Children() as children:
        place = children.run(stubs.modules_beside, "colorsys", timeout=60.0)
        assert place == colorsys.__file__
        # What has no other place is found there still, as a module with an algorithm of one's own.
        place = children.run(stubs.modules_beside, "of_the_user", timeout=60.0)
        assert Path(place) == tmp_path / "of_the_user.py"


def test_owners_do_not_end_each_others_children():
    with Children() as mine:
        child = mine.run(stubs.where_am_i, timeout=60.0)
        with Children() as theirs:
            assert theirs.run(stubs.where_am_i, timeout=60.0) != child
        assert mine.run(stubs.where_am_i, timeout=60.0) == child


def test_children_end_with_their_owner():
    with Children() as children:
        process = psutil.Process(children.run(stubs.where_am_i, timeout=60.0))
    assert not process.is_running()
    with pytest.raises(CrashedError, match="has ended"):
        children.run(stubs.where_am_i, timeout=60.0)


def test_sent_to_another_process_children_are_that_processes_own_and_end_when_idle(monkeypatch):
    """The workers of a cluster hear of no end; here the other process is this one."""
    monkeypatch.setattr(isolation, "_IDLE_SECONDS", 0.2)
    sent = pickle.dumps(Children())
    there, again = pickle.loads(sent), pickle.loads(sent)
    assert there is again
    process = psutil.Process(there.run(stubs.where_am_i, timeout=60.0))
    process.wait(60)
    assert there.run(stubs.add, 1, 2, timeout=60.0) == 3


def test_the_end_of_their_owner_ends_a_busy_one_at_once():
    started = threading.Event()
    outcome = []
    children = Children()

    def work():
        try:
            children.run(stubs.report_then_hang, 1, timeout=120, on_report=lambda _: started.set())
        except CrashedError as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(60)
    children.close()
    thread.join(60)
    assert not thread.is_alive()
    assert "SIGKILL" in str(outcome[0])


@pytest.mark.parametrize("moment", ["while it starts", "while it works"])
def test_an_interrupt_of_all_is_for_the_parent_to_decide(moment):
    with Children() as children:
        child = children._take()
        if moment == "while it works":
            child.start(stubs.where_am_i)
            while child.busy:
                child.next_message(60)
        child._process.send_signal(signal.SIGINT)
        assert child.call(stubs.add, (2, 3), 60.0, None) == 5


def test_children_end_with_the_parent(root):
    """A parent that is killed leaves no child behind."""
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, 'tests/stubs'); import stub_decoders as s\n"
        "from flowcache.workers.isolation import Children\n"
        "children = Children()\n"
        "print(children.run(s.where_am_i, timeout=60), flush=True)\n"
        "children.run(s.hang, timeout=600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    watch = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    if watch is None:
        pytest.skip("this system cannot watch a process that is not a child")
    import select

    try:
        assert select.select([watch], [], [], 60)[0], "the child outlived its parent"
    finally:
        os.close(watch)
