"""Processes that share a training: together they are one process with batches as large as all theirs."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from called_commands import installed
from made_runs import checkpoint, rows_of, weights

from twostream import stages
from twostream.runs.files import BEST, LAST, SCORES, VALIDATION_SCORES
from twostream.runs.run_json import recorded
from twostream.runs.training_options import Schedule, TrainerOptions, TrainOptions
from twostream.scoring.scores import Scores
from twostream.training.data import EpochSampler
from twostream.training.fit import processes_of

# Neither dropout, which each process draws for itself, nor statistics over a batch.
PLAIN = (
    "--model videomae --option patch=8 --option width=12 --option depth=1 --option heads=2 "
    "--option dropout=0 --length 4 --crop 16 --optimizer sgd --learning-rate 0.02 --gradient-clip 0.5"
)


@pytest.mark.slow
def test_two_processes_give_what_one_gives_with_twice_the_batch(toy, tmp_path):
    shutil.copytree(toy.root, tmp_path / "cache")
    shared = tmp_path / "runs" / "temporal"
    told = installed(
        f"train --stream temporal {PLAIN} --steps 20 --batch-size 2 --jobs 0 --clips 2 "
        "--accelerator cpu --devices 2 --strategy ddp",
        tmp_path,
    )
    assert told.returncode == 0, told.stderr
    options = recorded(TrainOptions, shared)
    assert options.trainer.devices == 2
    alone = tmp_path / "alone"
    stages.train(
        toy,
        alone,
        replace(
            options,
            trainer=replace(options.trainer, devices=1, strategy="auto"),
            schedule=replace(options.schedule, batch_size=4),
        ),
    )
    # 12 videos, four clips of each in an epoch: 12 steps an epoch, and 20 are reached in the second.
    assert checkpoint(shared / LAST)["global_step"] == checkpoint(alone / LAST)["global_step"] == 24
    for one, other in zip(rows_of(shared), rows_of(alone), strict=True):
        assert {name: float(value) for name, value in one.items()} == pytest.approx(
            {name: float(value) for name, value in other.items()}, rel=1e-4
        )
    learnt, expected = weights(shared / BEST), weights(alone / BEST)
    assert learnt.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(learnt[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    for name in (SCORES, VALIDATION_SCORES):
        together, single = (Scores.load(folder / name) for folder in (shared, alone))
        assert (together.ids, together.trained_on) == (single.ids, single.trained_on)
        np.testing.assert_allclose(together.logits, single.logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("videos", [7, 24, 241])
@pytest.mark.parametrize("repeats", [None, 1])
def test_each_process_takes_the_steps_that_are_asked_for_in_whole_epochs(
    repeats, videos, processes
):
    plan = Schedule(batch_size=3, steps=100, repeats=repeats)
    own = len(EpochSampler(videos, 0, processes - 1, processes, repeats=plan.clips_an_epoch))
    steps_an_epoch = -(-own // 3)
    epochs = plan.epochs_for(videos, batches_a_step=processes)
    assert steps_an_epoch * (epochs - 1) < 100 <= steps_an_epoch * epochs


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({"devices": 1}, 1),
        ({"devices": "auto"}, 1),
        ({"devices": 3, "strategy": "ddp"}, 3),
        ({"devices": 2, "num_nodes": 2, "strategy": "ddp"}, 4),
    ],
    ids=str,
)
def test_the_processes_of_all_machines_are_counted(given, count):
    assert processes_of(TrainerOptions(accelerator="cpu", **given)) == count
