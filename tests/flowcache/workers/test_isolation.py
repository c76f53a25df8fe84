import os
import threading

import numpy as np
import pytest
import stub_decoders as stubs

from flowcache.workers import isolation


@pytest.fixture(autouse=True)
def _fresh_children():
    isolation.kill_all()
    yield
    isolation.kill_all()


def run(function, *args, timeout=60.0, **options):
    return isolation.run(function, *args, timeout=timeout, **options)


def test_results_come_back_from_another_process():
    assert run(stubs.add, 2, 3) == 5
    assert run(stubs.where_am_i) != os.getpid()
    value = {"array": np.arange(200_000), "text": "ü"}
    again = run(stubs.echo, value)
    np.testing.assert_array_equal(again["array"], value["array"])
    assert again["text"] == "ü"


def test_reports_arrive_in_order_before_the_result():
    seen = []
    assert run(stubs.count_up, 50, on_report=seen.append) == "done"
    assert seen == list(range(50))
    assert run(stubs.count_up, 50) == "done"  # and nobody has to listen


def test_what_is_raised_there_is_raised_here():
    with pytest.raises(ValueError, match="seven"):
        run(stubs.raise_it, "seven")
    with pytest.raises(stubs.DeepError, match="do this instead"):
        run(stubs.raise_it, "deep")


def test_an_error_that_cannot_be_pickled_still_says_what_it_was():
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
def test_a_process_that_dies_is_an_error_that_says_of_what(how, words):
    with pytest.raises(isolation.CrashedError, match=words):
        run(stubs.die, how)
    assert run(stubs.add, 1, 1) == 2


def test_a_function_that_hangs_is_killed_and_the_next_one_runs():
    with pytest.raises(isolation.TimedOutError, match="no progress for 1 s"):
        run(stubs.hang, timeout=1.0)
    assert run(stubs.add, 1, 1) == 2


def test_a_report_is_a_sign_of_life_and_silence_after_it_is_not():
    seen = []
    with pytest.raises(isolation.TimedOutError):
        run(stubs.report_then_hang, 5, timeout=1.5, on_report=seen.append)
    assert seen == [0, 1, 2, 3, 4]


def test_a_child_is_used_again_until_it_dies():
    first = run(stubs.where_am_i)
    assert run(stubs.where_am_i) == first
    with pytest.raises(ValueError, match="x"):
        run(stubs.raise_it, "x")
    assert run(stubs.where_am_i) == first
    with pytest.raises(isolation.CrashedError):
        run(stubs.die, "abort")
    second = run(stubs.where_am_i)
    assert second != first
    assert run(stubs.where_am_i) == second


def test_a_child_that_died_while_idle_is_replaced():
    first = run(stubs.where_am_i)
    os.kill(first, 9)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert run(stubs.where_am_i) != first


def test_a_function_that_cannot_be_imported_there_is_an_error_and_not_a_crash():
    def local(report):
        return 1

    with pytest.raises((AttributeError, TypeError)):
        run(local)
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


def test_a_result_that_cannot_be_pickled_is_an_error_and_the_next_one_runs():
    with pytest.raises(Exception, match="pickle"):
        run(stubs.return_unpicklable)
    assert run(stubs.add, 1, 1) == 2


def test_what_native_code_prints_does_not_disturb_the_answers(capfd):
    assert run(stubs.print_noise) == "quiet"
    assert run(stubs.add, 1, 1) == 2
    captured = capfd.readouterr()
    assert captured.out == ""


def test_several_run_at_once_and_each_gets_its_own_answer():
    answers, errors = {}, []

    def work(i):
        try:
            for j in range(5):
                answers[i, j] = run(stubs.add, i, j)
            if i == 1:
                run(stubs.die, "abort")
        except isolation.CrashedError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {(i, j): i + j for i in range(3) for j in range(5)}
    assert len(errors) == 1


def test_ending_all_children_ends_a_busy_one_at_once():
    started = threading.Event()
    outcome = []

    def work():
        try:
            run(stubs.report_then_hang, 1, timeout=120, on_report=lambda _: started.set())
        except isolation.CrashedError as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(60)
    isolation.kill_all()
    thread.join(60)
    assert not thread.is_alive()
    assert "SIGKILL" in str(outcome[0])


def test_children_end_with_the_parent(root):
    """A parent that is killed leaves no child behind."""
    import signal
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, 'tests/stubs'); import stub_decoders as s\n"
        "from flowcache.workers import isolation as isolate\n"
        "print(isolation.run(s.where_am_i, timeout=60), flush=True)\n"
        "isolation.run(s.hang, timeout=600)\n"
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
