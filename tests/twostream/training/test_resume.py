import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_runs import KilledError, checkpoint, killed_after, rows_of, same

from twostream import stages
from twostream.runs import model_recipe
from twostream.runs.files import BEST, LAST
from twostream.runs.run_json import start_run
from twostream.scoring.scores import Scores
from twostream.training.module import Training


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, toy, options):
    """A run of three epochs with dropout, flips and random crops."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    plan = options(options={"width": 4, "dropout": 0.5}, schedule={"epochs": 3}, seed=2)
    scores = stages.train(toy, folder, plan)
    return plan, folder, scores


def assert_equal_runs(folder, expected_folder, scores, expected):
    for name in (BEST, LAST):
        one, other = (checkpoint(f / name) for f in (folder, expected_folder))
        assert one["epoch"] == other["epoch"], name
        assert same(one["state_dict"], other["state_dict"]), name
    assert rows_of(folder) == rows_of(expected_folder)
    np.testing.assert_array_equal(scores.logits, expected.logits)
    assert scores.ids == expected.ids


@pytest.mark.parametrize("jobs", [0, 2])
def test_a_run_killed_after_an_epoch_goes_on_to_the_same_result(jobs, undisturbed, toy, tmp_path):
    plan, folder, expected = undisturbed
    plan = replace(plan, jobs=jobs)
    with pytest.raises(KilledError):
        stages.train(toy, tmp_path, plan, listener=killed_after(3))
    assert checkpoint(tmp_path / LAST)["epoch"] == 1  # counted from 0
    scores = stages.train(toy, tmp_path, plan, resume=True)
    assert_equal_runs(tmp_path, folder, scores, expected)


def test_a_run_killed_within_an_epoch_goes_on_to_the_same_result(
    undisturbed, toy, tmp_path, monkeypatch
):
    plan, folder, expected = undisturbed
    step = Training.training_step

    def breaking(self, batch, number):
        if self.current_epoch == 1 and number == 1:
            raise KilledError
        return step(self, batch, number)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "training_step", breaking)
        with pytest.raises(KilledError):
            stages.train(toy, tmp_path, plan)
    scores = stages.train(toy, tmp_path, plan, resume=True)
    assert_equal_runs(tmp_path, folder, scores, expected)


def test_a_run_killed_before_its_first_checkpoint_starts_again(undisturbed, toy, tmp_path):
    plan, folder, expected = undisturbed
    scores = stages.train(toy, tmp_path, plan, resume=True)
    assert_equal_runs(tmp_path, folder, scores, expected)


def test_a_resumed_run_keeps_the_schedule_that_it_began_with_whatever_is_installed_since(
    tmp_path, options, monkeypatch
):
    plan = options(model="efficientnet_lite", options={}, schedule={"epochs": None}, init="auto")
    monkeypatch.setattr(model_recipe, "starts_from_weights", lambda _: False)
    began = model_recipe.complete(plan, None)
    start_run(tmp_path, began)
    monkeypatch.setattr(model_recipe, "starts_from_weights", lambda _: True)
    assert model_recipe.complete(plan, tmp_path) == began
    assert model_recipe.complete(plan, None) != began


def test_a_finished_run_is_resumed_to_itself(undisturbed, toy, tmp_path):
    plan, folder, expected = undisturbed
    shutil.copytree(folder, tmp_path / "run")
    scores = stages.train(toy, tmp_path / "run", plan, resume=True)
    assert_equal_runs(tmp_path / "run", folder, scores, expected)


def test_a_run_that_was_moved_goes_on_to_the_same_result(misled, tmp_path, options):
    # The best epoch so far must be remembered; here it is an early one.
    plan = options(schedule={"epochs": 4})
    expected = stages.train(misled, tmp_path / "whole", plan)
    best = checkpoint(tmp_path / "whole" / BEST)["epoch"] + 1
    assert best < 4, "a run whose last epoch is the best shows nothing"
    with pytest.raises(KilledError):
        stages.train(misled, tmp_path / "here", plan, listener=killed_after(4))
    (tmp_path / "here").rename(tmp_path / "there")
    scores = stages.train(misled, tmp_path / "there", plan, resume=True)
    assert_equal_runs(tmp_path / "there", tmp_path / "whole", scores, expected)


_CHILD = """
import sys
from pathlib import Path
from flowcache.cache.store import FlowCache
from twostream.stages import Listener, train
from twostream.runs.training_options import TrainOptions
from twostream.runs.run_json import recorded

if __name__ == "__main__":
    cache, folder, resume = FlowCache.open(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3] == "1"
    options = recorded(TrainOptions, folder)
    told = Listener(on_epoch=lambda row, _: print(row["epoch"], flush=True))
    train(cache, folder, options, resume=resume, listener=told)
"""


@pytest.mark.slow
def test_a_run_killed_by_the_system_goes_on_to_the_same_result(undisturbed, toy, tmp_path):
    plan, folder, expected = undisturbed
    run_folder = tmp_path / "run"
    start_run(run_folder, plan)
    script = tmp_path / "child.py"
    script.write_text(_CHILD)

    def child(resume):
        words = [sys.executable, str(script), str(toy.root), str(run_folder), resume]
        # As many threads as here: sums in another order differ in their last digits.
        threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=threads)

    for last_epoch in ("1", "2"):
        process = child("0" if last_epoch == "1" else "1")
        for line in process.stdout:
            if line.strip() == last_epoch:
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    process = child("1")
    process.communicate()
    assert process.returncode == 0
    scores = Scores.load(run_folder / "scores.npz")
    (run_folder / "run.json").unlink()
    assert_equal_runs(run_folder, folder, scores, expected)
