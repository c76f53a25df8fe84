import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from called_commands import run, sentence, succeed
from made_scores import scores

from twostream.scoring.scores import Scores


@pytest.fixture
def four_runs(tmp_path, monkeypatch):
    """Two seeds of each of two networks, of which the first is better; and scores of other clips."""
    monkeypatch.chdir(tmp_path)
    for name, gain, seed in (("flow-1", 4, 0), ("flow-2", 4, 1), ("rgb-1", 0, 2), ("rgb-2", 0, 3)):
        one = scores(name, n=40, k=4, seed=seed)
        sure = one.logits + gain * np.eye(4, dtype=np.float32)[one.labels]
        groups = tuple(f"group {i // 2}" for i in range(40))
        one = replace(one, logits=sure, groups=groups, clips=10, crops=1, trained_on=(name,))
        one.save(Path("runs") / name / "scores.npz")
    replace(one, clips=25, crops=10).save(Path("runs") / "rgb-2" / "scores-25x10.npz")
    return tmp_path


def test_two_runs_are_compared_in_their_order(four_runs):
    output = succeed("compare runs/flow-1 runs/rgb-1")
    assert "40 videos of 20 groups" in output
    (gain,) = (line for line in output.splitlines() if "gain" in line)
    assert len(re.findall(r"\+\d+\.\d \[\+\d+\.\d, \+\d+\.\d\]", gain)) == 2
    assert output.index("runs/flow-1") < output.index("runs/rgb-1")
    there, back = (
        json.loads(succeed(f"compare {words} --json"))["top1"]
        for words in ("runs/flow-1 runs/rgb-1", "runs/rgb-1 runs/flow-1")
    )
    right = [Scores.load(Path(f"runs/{name}/scores.npz")).top(1) for name in ("flow-1", "rgb-1")]
    assert there["gain"]["value"] == pytest.approx(right[0] - right[1])
    assert there["gain"]["value"] == -back["gain"]["value"]
    assert there["p"] == back["p"] < 0.01


def test_the_seeds_of_each_are_averaged(four_runs):
    read = json.loads(
        succeed("compare runs/flow-1 runs/flow-2 --with runs/rgb-1 --with runs/rgb-2 --json")
    )
    assert read["one"] == ["runs/flow-1", "runs/flow-2"]
    assert read["other"] == ["runs/rgb-1", "runs/rgb-2"]
    for side, names in (("one", read["one"]), ("other", read["other"])):
        many = [Scores.load(Path(name) / "scores.npz") for name in names]
        for measure, of in (
            ("top1", lambda s: s.top(1)),
            ("mean_class", Scores.mean_class_accuracy),
        ):
            assert read[measure][side]["value"] == pytest.approx(np.mean([of(one) for one in many]))


def test_a_run_is_also_a_file_and_other_clips_can_be_compared(four_runs):
    read = json.loads(succeed("compare runs/rgb-2/scores-25x10.npz runs/rgb-2 --json"))
    assert read["top1"]["gain"]["value"] == 0
    assert read["top1"]["p"] == 1


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("runs/flow-1", "name two runs, or the others apart (--with)"),
        ("runs/flow-1 runs/flow-2 runs/rgb-1", "name two runs, or the others apart (--with)"),
        ("runs/flow-1 runs/absent", "runs/absent/scores.npz does not exist"),
        ("runs/flow-1 absent.npz", "absent.npz does not exist"),
        ("runs/flow-1 few.npz", "runs/flow-1 and few.npz score different videos"),
    ],
)
def test_what_cannot_be_compared_is_refused(words, part, four_runs):
    scores(n=39, k=4).save(Path("few.npz"))
    assert part in sentence(f"compare {words}")


def test_without_a_run_the_words_are_not_known():
    assert run("compare").exit_code == 2
