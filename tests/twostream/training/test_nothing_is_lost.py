"""A resumed run goes on with what it had, a replaced one is there until the new one is, and no leak."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from made_runs import KilledError, checkpoint, killed_after, same, weights

from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream import learning, stages
from twostream.data.splits import Split
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.files import BEST, LAST, PREVIOUS, RECORD
from twostream.runs.training_options import SplitOptions


@pytest.fixture(scope="module")
def killed_once(toy, tmp_path_factory, options):
    """The folder of a run that was killed in its third epoch of three."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    with pytest.raises(KilledError):
        stages.train(toy, folder, options(), listener=killed_after(3))
    return folder


@pytest.fixture
def killed(killed_once, toy, tmp_path, options):
    """Copies of a cache and of a run that was killed on it: the cache, its plan and its folder."""
    cache = FlowCache.open(shutil.copytree(toy.root, tmp_path / "cache"))
    return cache, options(), shutil.copytree(killed_once, tmp_path / "run")


# Resumption with other data


def test_a_video_more_is_named_in_place_of_a_split_drawn_again(killed, add):
    cache, plan, folder = killed
    add(cache, "calm/v_calm_g09_c01", count=5, size=(20, 20))
    with pytest.raises(UserError, match=r"begun with other data.*v_calm_g09_c01") as caught:
        stages.train(cache, folder, plan, resume=True)
    assert "\n" not in str(caught.value)


def test_a_video_less_is_named(killed):
    cache, plan, folder = killed
    gone = load_checkpoint(folder / BEST)[1].split.train[0]
    cache.path(gone).unlink()
    with pytest.raises(UserError, match=f"no {gone}"):
        stages.train(cache, folder, plan, resume=True)


def test_another_file_under_the_name_of_a_training_video_is_named(killed, add):
    cache, plan, folder = killed
    other = load_checkpoint(folder / BEST)[1].split.train[0]
    add(cache, other, count=5, size=(20, 20), sha256="0" * 64)
    with pytest.raises(UserError, match=f"another file as {other}"):
        stages.train(cache, folder, plan, resume=True)


def test_a_cache_of_another_bound_is_named(killed, make_toy, tmp_path):
    _, plan, folder = killed
    other = make_toy(tmp_path / "other", bound=5.0)
    with pytest.raises(UserError, match=r"other data.*bound"):
        stages.train(other, folder, plan, resume=True)


# Replacing a run


def test_a_run_is_not_replaced_by_one_that_cannot_begin(toy, tmp_path, options):
    plan = options(schedule={"epochs": 1})
    stages.train(toy, tmp_path, plan)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for wrong in (
        replace(plan, init=str(tmp_path / "nothing.pt")),
        replace(plan, split=SplitOptions(test_share=0.01, groups=str(tmp_path / "nothing.csv"))),
        replace(plan, model="single_frame", options={"backbone": "nobody"}),
    ):
        with pytest.raises(UserError):
            stages.train(toy, tmp_path, wrong, overwrite=True)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_is_replaced_when_the_first_epoch_of_the_new_one_has_ended(
    toy, tmp_path, options, monkeypatch
):
    stages.train(toy, tmp_path, options(schedule={"epochs": 1}))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(learning.Training, "validation_step", _die)
        with pytest.raises(KilledError):
            stages.train(toy, tmp_path, options(seed=1), overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(KilledError):
        stages.train(toy, tmp_path, options(seed=1), overwrite=True, listener=killed_after(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [BEST, LAST, "metrics.csv", RECORD, "split.csv"]
    )
    assert '"seed": 1' in (tmp_path / RECORD).read_text()


def _die(*_):
    raise KilledError


def test_a_run_is_neither_resumed_nor_replaced_without_being_told(toy, tmp_path, options):
    stages.train(toy, tmp_path, options(schedule={"epochs": 1}))
    with pytest.raises(UserError, match="holds a trained network"):
        stages.train(toy, tmp_path, options(schedule={"epochs": 1}))
    # Nor where a user has deleted what only a resumption needs.
    (tmp_path / LAST).unlink()
    best = (tmp_path / BEST).read_bytes()
    with pytest.raises(UserError, match="holds a trained network"):
        stages.train(toy, tmp_path, options(schedule={"epochs": 1}))
    with pytest.raises(UserError, match=r"no last\.ckpt to go on from"):
        stages.train(toy, tmp_path, options(schedule={"epochs": 1}), resume=True)
    assert (tmp_path / BEST).read_bytes() == best


def test_scores_of_other_views_go_with_the_run_that_is_replaced(toy, tmp_path, options):
    plan = options(schedule={"epochs": 1})
    stages.train(toy, tmp_path, plan)
    stages.evaluate(toy, tmp_path, clips=3, crops=3, jobs=0)
    of_other_views = {path.name for path in tmp_path.glob("*-3x3.*")}
    assert of_other_views >= {"scores-3x3.npz", "validation_scores-3x3.npz", "metrics-3x3.json"}
    (tmp_path / "best-so-far.ckpt").touch()  # a user's own
    stages.train(toy, tmp_path, options(schedule={"epochs": 1}, seed=1), overwrite=True)
    assert not list(tmp_path.glob("*-3x3.*"))
    assert (tmp_path / "best-so-far.ckpt").exists()


def test_where_there_are_no_hard_links_a_run_is_trained_and_goes_on_too(
    toy, tmp_path, options, monkeypatch
):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    whole = stages.train(toy, tmp_path / "whole", options())
    with pytest.raises(KilledError):
        stages.train(toy, tmp_path / "run", options(), listener=killed_after(3))
    assert checkpoint(tmp_path / "run" / PREVIOUS)["epoch"] == 0
    resumed = stages.train(toy, tmp_path / "run", options(), resume=True)
    np.testing.assert_array_equal(resumed.logits, whole.logits)


# Checkpoints on disk


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "gone"])
def test_a_run_with_a_damaged_last_checkpoint_goes_on_from_the_one_before(damage, killed, tmp_path):
    cache, plan, folder = killed
    whole = tmp_path / "whole"
    expected = stages.train(cache, whole, plan)
    content = (folder / LAST).read_bytes()
    if damage == "gone":
        (folder / LAST).unlink()
    else:
        # In a weight, since between the records of the file there are bytes that mean nothing.
        place = content.index(next(iter(weights(folder / LAST).values())).numpy().tobytes())
        flipped = content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
        damaged = {"cut": content[: len(content) // 2], "empty": b"", "flipped": flipped}[damage]
        (folder / LAST).write_bytes(damaged)
    said = []
    listener = stages.Listener(say=said.append)
    scores = stages.train(cache, folder, plan, resume=True, listener=listener)
    np.testing.assert_array_equal(scores.logits, expected.logits)
    assert same(checkpoint(folder / LAST)["state_dict"], checkpoint(whole / LAST)["state_dict"])
    assert any("goes on from previous.ckpt" in line for line in said) == (damage != "gone")


def test_a_run_whose_checkpoints_are_all_damaged_says_so(killed):
    cache, plan, folder = killed
    for name in (LAST, PREVIOUS):
        (folder / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"last\.ckpt is damaged .*previous\.ckpt is damaged"):
        stages.train(cache, folder, plan, resume=True)


def test_the_best_checkpoint_holds_weights_alone(killed):
    *_, folder = killed
    assert {"state_dict", "twostream", "epoch"} <= set(checkpoint(folder / BEST))
    assert not {"optimizer_states", "loops", "callbacks"} & set(checkpoint(folder / BEST))
    assert {"optimizer_states", "loops", "callbacks"} <= set(checkpoint(folder / LAST))


def test_what_a_killed_process_left_half_written_goes(killed):
    cache, plan, folder = killed
    (folder / ".twostream-0123456789ab.part").touch()
    stages.train(cache, folder, plan, resume=True)
    assert not list(folder.glob(".*"))


# Leaks through weights


def test_contents_that_weights_have_learnt_are_refused_along_the_whole_chain(
    make_toy, add, tmp_path, options
):
    """A copy of a training video under another name, and of a run that two runs lie between."""
    plan = options(schedule={"epochs": 1})
    first = make_toy(tmp_path / "first", groups=4, seed=1)
    stages.train(first, tmp_path / "a", plan)
    learnt = load_checkpoint(tmp_path / "a" / BEST)[1].split.train[0]
    copied = first.entry(learnt).info.source.sha256
    second = make_toy(tmp_path / "second", groups=4)
    for identifier in second.ids():
        renamed = second.path(identifier.replace("_g", "_later_g"))
        second.path(identifier).unlink()
        add(second, renamed.relative_to(second.root).with_suffix("").as_posix(), count=5)
    weights = str(tmp_path / "a" / BEST)
    stages.train(second, tmp_path / "b", replace(plan, init=weights))
    third = make_toy(tmp_path / "third", groups=4)
    for identifier in third.ids():
        third.path(identifier).unlink()
        add(third, identifier.replace("_g", "_last_g"), count=5)
    test = [i for i in third.ids() if "_g04" in i]
    add(third, test[0], count=5, sha256=copied)
    (tmp_path / "test.txt").write_text("".join(f"{i}.avi\n" for i in test))
    tested = SplitOptions(test_list=str(tmp_path / "test.txt"))
    weights = str(tmp_path / "b" / BEST)
    with pytest.raises(UserError, match="has learnt from videos that this run tests on"):
        stages.train(third, tmp_path / "c", replace(plan, init=weights, split=tested))


def test_a_checkpoint_names_what_it_has_learnt_by_content(toy, finished_runs):
    spec = load_checkpoint(finished_runs / "temporal" / BEST)[1]
    taught = (*spec.split.train, *spec.split.validation)
    assert spec.learnt == tuple(sorted(toy.entry(i).info.source.sha256 for i in taught))
    assert isinstance(spec.split, Split)


# Distributed runs


RANKS = """
import importlib, os, sys
from lightning.fabric.utilities import rank_zero  # which reads the number when it is imported
from twostream.runs.run_json import is_first_process
for variable in sys.argv[1:]:
    for number in "01":
        os.environ[variable] = number
        vars(rank_zero.rank_zero_only).pop("rank", None)
        importlib.reload(rank_zero)
        print(variable, number, is_first_process())
    del os.environ[variable]
"""


@pytest.mark.slow
def test_one_process_of_a_distributed_run_is_the_first():
    variables = ["RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"]
    plain = {k: v for k, v in os.environ.items() if not k.endswith(("RANK", "PROCID"))}
    told = subprocess.run(
        [sys.executable, "-c", RANKS, *variables],
        env=plain,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines() == [
        f"{variable} {number} {number == '0'}" for variable in variables for number in "01"
    ]


# What a user can do wrong


def test_one_class_alone_is_nothing_to_learn(tmp_path, new_cache, add, options):
    cache = new_cache(tmp_path / "cache")
    for group in range(5):
        add(cache, f"calm/v_calm_g{group:02}_c01", count=5, size=(20, 20))
    with pytest.raises(UserError, match="one class, calm"):
        stages.train(cache, tmp_path / "run", options())


@pytest.mark.parametrize("content", [b"", b"epoch\none\n", b"\xff\xfe", b'a,"b\n1,2', b"x\n1\n"])
def test_damaged_measures_are_named_where_a_run_is_resumed(content, killed):
    cache, plan, folder = killed
    (folder / "metrics.csv").write_bytes(content)
    try:
        stages.train(cache, folder, plan, resume=True)
    except UserError as error:
        assert "metrics.csv cannot be read" in str(error)  # noqa: PT017 (an empty file is right, too)


def test_an_interrupt_passes_through_the_training(toy, tmp_path, options):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        stages.train(toy, tmp_path, options(), listener=stages.Listener(on_epoch=interrupt))
    assert signal.getsignal(signal.SIGINT) == before
