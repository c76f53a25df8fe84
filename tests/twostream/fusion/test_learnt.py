"""The rules that learn the classes anew: stacking and the support vector machine."""

from dataclasses import replace

import numpy as np
import pytest
from made_scores import told_streams

from twostream.fusion import create_rule
from twostream.scoring.scores import ScoresError

LEARNT = pytest.mark.parametrize("rule", ["stacking", "svm"])


def learnt(rule, held_out):
    return create_rule(rule, None, held_out)


@LEARNT
@pytest.mark.parametrize("k", [2, 4])
def test_a_class_that_is_always_taken_for_another_is_learnt(rule, k):
    def mistaken(seed, part):
        streams = told_streams(seed=seed, n=60, k=k, tells=(4.0, 4.0), part=part)
        return [replace(one, logits=np.roll(one.logits, 1, axis=1)) for one in streams]

    streams = mistaken(1, "test")
    assert max(one.top(1) for one in streams) < 0.1
    assert learnt(rule, mistaken(2, "held out"))(streams).top(1) > 0.9


@LEARNT
def test_both_streams_are_used(rule):
    held_out = told_streams(seed=2, n=400, k=4, tells=(1.5, 1.5), part="held out")
    streams = told_streams(seed=1, n=1000, k=4, tells=(1.5, 1.5))
    fused = learnt(rule, held_out)(streams).top(1)
    assert fused > max(one.top(1) for one in streams) + 0.03


@LEARNT
def test_a_class_without_a_held_out_video_is_named(rule):
    held_out = told_streams(n=3, k=5, part="held out")
    with pytest.raises(ScoresError, match=rf"{rule} .* class 3 .* \(2 of 5 classes lack one\)"):
        learnt(rule, held_out)


def test_the_machine_reads_softmax_scores_divided_by_their_length():
    from sklearn.svm import LinearSVC

    held_out = told_streams(seed=2, n=50, k=3, part="held out")
    streams = told_streams(seed=1, n=30, k=3)

    def features(pair):
        return [
            [x / sum(y * y for y in row) ** 0.5 for row in rows for x in row]
            for rows in zip(*(one.softmax().tolist() for one in pair), strict=True)
        ]

    machine = LinearSVC(multi_class="crammer_singer", tol=0.01, random_state=0)
    machine.fit(features(held_out), held_out[0].labels)
    fused = learnt("svm", held_out)(streams)
    np.testing.assert_allclose(
        fused.logits, machine.decision_function(features(streams)), atol=1e-3
    )


def test_copies_in_one_group_stay_together_when_the_regularisation_is_chosen():
    # The labels are noise. A weak regularisation seems good where a video's copies are on both sides.
    streams = told_streams(seed=3, n=40, k=8, tells=(0.0, 0.0), part="held out")
    labels = np.random.default_rng(0).permutation(streams[0].labels)
    copies = [
        replace(
            one,
            ids=tuple(f"held out/{n}" for n in range(200)),
            logits=np.repeat(one.logits, 5, axis=0),
            labels=np.repeat(labels, 5),
            groups=tuple(f"group {n // 5}" for n in range(200)),
        )
        for one in streams
    ]
    together = learnt("stacking", copies).parameters
    apart = learnt("stacking", [replace(one, groups=()) for one in copies]).parameters
    assert together["C was chosen"]
    assert apart["C was chosen"]
    assert together["C"] <= 1e-2 < apart["C"]


def test_where_a_class_has_one_group_the_regularisation_is_strong():
    held_out = told_streams(n=20, k=2, part="held out")
    alike = [replace(one, groups=("one",) * 20) for one in held_out]
    assert learnt("stacking", alike).parameters == {"C": 1e-2, "C was chosen": False}
