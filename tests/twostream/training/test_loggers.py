"""Loggers get what `metrics.csv` has, and a run is the same with one as without."""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
from called_commands import sentence
from made_runs import KilledError, checkpoint, killed_after, rows_of, same

from flowcache.errors import UserError
from twostream import stages
from twostream.runs.files import BEST, LAST
from twostream.runs.training_options import LoggerName
from twostream.training import loggers

LOGGERS = [name for name in get_args(LoggerName) if name != "none"]
Logged = Mapping[str, list[float]]


def of_csv(folder: Path) -> Logged:
    """Lightning has a row for the training and one for the validation of each epoch."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def of_tensorboard(folder: Path) -> Logged:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [one.value for one in events.Scalars(name)] for name in events.Tags()["scalars"]}


READ = {"csv": of_csv, "tensorboard": of_tensorboard}


@pytest.fixture
def plan(options, monkeypatch):
    def make(logger):
        if logger in ("tensorboard", "wandb"):
            pytest.importorskip(logger)
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_SILENT", "true")
        one = options(schedule={"epochs": 2})
        return replace(one, trainer=replace(one.trainer, logger=logger))

    return make


@pytest.fixture(scope="module")
def without(toy, options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("without") / "run"
    stages.train(toy, folder, options(schedule={"epochs": 2}))
    return folder


@pytest.mark.parametrize("name", LOGGERS)
def test_a_run_with_a_logger_is_the_run_without(name, plan, toy, without, tmp_path):
    stages.train(toy, tmp_path / "run", plan(name))
    assert rows_of(tmp_path / "run") == rows_of(without)
    for file in (BEST, LAST):
        one, other = (checkpoint(folder / file) for folder in (tmp_path / "run", without))
        assert same(one["state_dict"], other["state_dict"])
    assert (
        json.loads((tmp_path / "run" / "run.json").read_text())["options"]["trainer"]["logger"]
        == name
    )


@pytest.mark.parametrize("name", sorted(READ))
def test_each_start_logs_the_measures_of_its_epochs(name, plan, toy, without, tmp_path):
    with pytest.raises(KilledError):  # before the second epoch is kept
        stages.train(toy, tmp_path, plan(name), listener=killed_after(2))
    stages.train(toy, tmp_path, plan(name), resume=True)
    assert rows_of(tmp_path) == rows_of(without)
    versions = sorted((tmp_path / loggers.LOGS).iterdir())
    assert [one.name for one in versions] == ["version_0", "version_1"]
    resumed = READ[name](versions[1])
    for measure in ("train_loss", "train_top1", "val_loss", "val_top1"):
        expected = float(rows_of(tmp_path)[1][measure])
        assert resumed[measure] == pytest.approx([expected], rel=1e-6), measure


def test_weights_and_biases_gets_a_run_of_its_own_for_each(plan, toy, tmp_path):
    for name in ("one", "two"):
        stages.train(toy, tmp_path / name, plan("wandb"))
        assert len(list((tmp_path / name / "wandb").glob("offline-run-*/*.wandb"))) == 1


class Noted(list):
    """A stand-in for W&B's logger and its run, of which it is noted how they end."""

    def __init__(self):
        self.experiment = self

    def log_hyperparams(self, _):
        pass

    def finish(self, exit_code):
        self.append(exit_code)


def test_weights_and_biases_is_told_whether_a_training_failed(monkeypatch, tmp_path):
    noted = Noted()
    monkeypatch.setattr(loggers, "WandbLogger", Noted)
    monkeypatch.setattr(loggers, "_weights_and_biases", lambda _: noted)
    monkeypatch.setattr(loggers, "find_spec", lambda _: "installed")
    with loggers.logger_for("wandb", tmp_path, {}):
        pass
    with pytest.raises(KilledError), loggers.logger_for("wandb", tmp_path, {}):
        raise KilledError
    assert noted == [0, 1]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_logger_that_is_not_installed_is_named_with_its_extra(
    name, options, toy, tmp_path, monkeypatch
):
    def absent(module):
        return None if module == name else find_spec(module)

    monkeypatch.setattr(loggers, "find_spec", absent)
    one = options()
    with pytest.raises(UserError, match=rf"pip install 'twostream\[{name}\]'") as raised:
        stages.train(toy, tmp_path / "run", replace(one, trainer=replace(one.trainer, logger=name)))
    assert raised.value.parameter == "logger"
    assert not (tmp_path / "run").exists()


def test_an_unknown_logger_is_refused():
    assert "tensorboard" in sentence("train --stream spatial --logger abacus --cache nowhere")
