"""Protocols that are killed, shared and repeated; a training here takes a fraction of a second."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import KilledError, killed_after

from flowcache.errors import UserError
from twostream.protocol import plan
from twostream.protocol.options import ProtocolOptions
from twostream.protocol.results import Ensemble, outcomes
from twostream.protocol.work import work
from twostream.runs import files

FOLDS = ProtocolOptions(folds=2)
FUSED = Ensemble("fused", ("spatial", "temporal"), "softmax", [0.5, 0.5])


@pytest.fixture
def runs(options):
    short = {"schedule": {"epochs": 2}, "clips": 1}
    return {name: options(name, **short) for name in ("spatial", "temporal")}


def results(protocol):
    """The logits of every run and fusion, by name, seed and fold."""
    return {
        (one.name, seed, fold): scores.logits
        for one in outcomes(protocol, [FUSED])
        for seed, row in enumerate(one.folds)
        for fold, scores in enumerate(row)
    }


@pytest.fixture(scope="module")
def undisturbed(toy, options, tmp_path_factory):
    """What the protocol of these tests comes to."""
    short = {"schedule": {"epochs": 2}, "clips": 1}
    runs = {name: options(name, **short) for name in ("spatial", "temporal")}
    protocol = plan.begin(toy, tmp_path_factory.mktemp("whole"), FOLDS, runs)
    assert work(protocol, toy) == []
    return results(protocol)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, logits in one.items():
        np.testing.assert_array_equal(logits, other[key])


def test_all_folds_are_trained_and_fused(undisturbed):
    assert {key[0] for key in undisturbed} == {"spatial", "temporal", "fused"}
    assert {key[1:] for key in undisturbed} == {(0, 0), (0, 1)}


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_protocol_that_is_killed_goes_on_to_the_same_results(
    toy, runs, undisturbed, tmp_path, epoch
):
    protocol = plan.begin(toy, tmp_path, FOLDS, runs)
    with pytest.raises(KilledError):
        work(protocol, toy, listener=killed_after(epoch))
    begun = []
    again = plan.recorded(tmp_path)
    assert work(again, toy, on_training=lambda training, *_: begun.append(str(training))) == []
    assert len(begun) == 4
    assert_same(results(again), undisturbed)
    work(again, toy, on_training=lambda training, *_: begun.append(str(training)))
    assert len(begun) == 4  # nothing is done twice


def test_folds_may_be_trained_apart_and_put_together(toy, runs, undisturbed, tmp_path):
    for fold in ("02", "01"):
        protocol = plan.begin(toy, tmp_path / fold, FOLDS, runs)
        left = work(protocol, toy, only=[fold])
        assert {training.fold for training in left} == {"01", "02"} - {fold}
    shutil.copytree(tmp_path / "02" / "02", tmp_path / "01" / "02", dirs_exist_ok=True)
    assert_same(results(plan.recorded(tmp_path / "01")), undisturbed)


def test_a_run_that_another_process_works_on_is_left_to_it(toy, runs, tmp_path):
    protocol = plan.begin(toy, tmp_path, FOLDS, {"temporal": runs["temporal"]})
    first, second = protocol.trainings()
    left = []

    def other_process(training, *_):
        if training == first:  # while the first is trained here, another process looks for work
            left.extend(work(protocol, toy))

    assert work(protocol, toy, on_training=other_process) == []
    assert left == [first]
    assert (second.folder / files.METRICS).exists()


def test_what_comes_into_the_cache_later_has_no_part_in_it(make_toy, add, runs, tmp_path):
    cache = make_toy(tmp_path / "cache")
    protocol = plan.begin(cache, tmp_path / "p", FOLDS, runs)
    add(cache, "calm/v_calm_g09_c01", count=5, size=(20, 20))
    assert plan.begin(cache, tmp_path / "p", FOLDS, runs) == protocol
    assert plan.recorded(tmp_path / "p") == protocol


def test_a_folder_of_another_protocol_is_refused(toy, runs, tmp_path):
    plan.begin(toy, tmp_path, FOLDS, runs)
    with pytest.raises(UserError, match="other options"):
        plan.begin(toy, tmp_path, replace(FOLDS, folds=3), runs)
    with pytest.raises(UserError, match="other options"):
        plan.begin(toy, tmp_path, FOLDS, {"temporal": runs["temporal"]})


def test_seeds_may_be_added_later_and_the_folds_stay(toy, runs, tmp_path):
    one = plan.begin(toy, tmp_path, FOLDS, runs)
    more = plan.begin(toy, tmp_path, replace(FOLDS, seeds=(0, 3)), runs)
    assert more.folds == one.folds
    assert plan.recorded(tmp_path) == more
    assert {training.seed for training in more.trainings()} == {0, 3}
    assert list(one.trainings()) == [t for t in more.trainings() if t.seed == 0]


def test_a_folder_with_another_run_in_it_is_refused(toy, runs, tmp_path):
    protocol = plan.begin(toy, tmp_path, FOLDS, runs)
    with pytest.raises(KilledError):
        work(protocol, toy, listener=killed_after(2))
    (first, *_) = protocol.trainings()
    path = first.folder / files.RECORD
    record = json.loads(path.read_text())
    record["options"]["seed"] = 7
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"fold 01, seed 0, spatial: .* holds another run"):
        work(protocol, toy)


def test_a_fold_that_there_is_not_is_refused(toy, runs, tmp_path):
    protocol = plan.begin(toy, tmp_path, FOLDS, runs)
    with pytest.raises(UserError, match="no fold 9: choose from 01 to 02"):
        work(protocol, toy, only=["9"])


@pytest.mark.parametrize("name", ["fused", "no picture", "", "a/b", ".", ".."])
def test_a_name_that_is_no_folders_is_refused(toy, runs, tmp_path, name):
    with pytest.raises(UserError, match="name of its own"):
        plan.begin(toy, tmp_path, FOLDS, {name: runs["temporal"]})


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"options": {}}', '{"options": {"x": 1}}'])
def test_a_record_that_is_none_is_refused(tmp_path, content):
    (tmp_path / plan.RECORD).write_text(content)
    with pytest.raises(UserError, match="cannot be read"):
        plan.recorded(tmp_path)


def test_without_a_record_there_is_nothing_to_go_on_with(tmp_path):
    with pytest.raises(UserError, match="holds no protocol"):
        plan.recorded(tmp_path)


def test_a_killed_run_goes_on_from_wherever_the_folder_is_named(toy, runs, tmp_path, monkeypatch):
    only = {"temporal": runs["temporal"]}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KilledError):
        work(plan.begin(toy, Path("p"), FOLDS, only), toy, listener=killed_after(2))
    assert work(plan.begin(toy, tmp_path / "p", FOLDS, only), toy) == []


def test_a_name_that_is_two_lines_is_refused_before_anything_is_trained(
    make_toy, add, runs, tmp_path
):
    cache = make_toy(tmp_path / "cache")
    add(cache, "calm/v_calm\nx_g09_c01", count=5, size=(20, 20))
    with pytest.raises(UserError, match="cannot stand in a list: rename it"):
        plan.begin(cache, tmp_path / "p", FOLDS, runs)
