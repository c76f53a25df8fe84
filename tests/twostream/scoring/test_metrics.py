"""Measures of scores, against torchmetrics, PyTorch and videos counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_scores import scores
from torchmetrics.functional.classification import multiclass_calibration_error

from twostream.scoring.metrics import (
    expected_calibration_error,
    negative_log_likelihood,
    per_class,
)
from twostream.scoring.scores import ScoresError

MEASURES = [per_class, expected_calibration_error, negative_log_likelihood]


@given(st.integers(1, 80), st.integers(2, 9), st.integers(1, 20), st.integers(0, 1000))
def test_the_calibration_error_is_that_of_torchmetrics(n, k, bins, seed):
    one = scores(n=n, k=k, seed=seed)
    logits, labels = torch.from_numpy(one.logits).double(), torch.from_numpy(one.labels)
    expected = float(multiclass_calibration_error(logits.softmax(1), labels, k, bins, "l1"))
    assert expected_calibration_error(one, bins) == pytest.approx(expected, abs=1e-6)


def test_a_network_that_is_sure_and_always_wrong_is_as_badly_calibrated_as_can_be():
    one = replace(scores(k=3), logits=100 * np.eye(3, dtype=np.float32)[(np.arange(8) + 1) % 3])
    assert expected_calibration_error(one) == pytest.approx(1)
    assert expected_calibration_error(replace(one, labels=(one.labels + 1) % 3)) == pytest.approx(0)


def test_probabilities_that_come_true_are_calibrated():
    # Two classes at 0.7 and 0.3: seven of ten are right.
    logits = np.tile(np.log([[0.7, 0.3]]), (10, 1)).astype(np.float32)
    one = replace(scores(n=10, k=2), logits=logits, labels=np.array([0] * 7 + [1] * 3))
    assert expected_calibration_error(one) == pytest.approx(0, abs=1e-6)
    all_right = replace(one, labels=np.zeros(10, np.int64))
    assert expected_calibration_error(all_right) == pytest.approx(0.3, abs=1e-6)


@given(st.integers(1, 40), st.integers(2, 9), st.integers(0, 1000))
def test_the_likelihood_is_that_of_pytorchs_cross_entropy(n, k, seed):
    one = scores(n=n, k=k, seed=seed)
    logits, labels = torch.from_numpy(one.logits).double(), torch.from_numpy(one.labels)
    expected = float(torch.nn.functional.cross_entropy(logits, labels))
    assert negative_log_likelihood(one) == pytest.approx(expected)


def test_a_probability_that_single_precision_rounds_to_0_is_still_a_number():
    one = replace(scores(k=3), logits=300 * np.eye(3, dtype=np.float32)[(np.arange(8) + 1) % 3])
    assert one.softmax()[0, 0] == 0
    assert negative_log_likelihood(one) == pytest.approx(300)


def test_the_classes_are_counted_one_by_one_and_absent_ones_left_out():
    logits = np.array([[9, 0, 0, 0], [9, 1, 0, 0], [0, 0, 9, 0], [9, 8, 7, 6]], np.float32)
    one = replace(scores(n=4, k=4), logits=logits, labels=np.array([0, 0, 3, 1]))
    assert per_class(one) == {"class 0": (2, 1.0), "class 1": (1, 0.0), "class 3": (1, 0.0)}
    many = scores(n=50, k=7)
    assert np.mean([top1 for _, top1 in per_class(many).values()]) == pytest.approx(
        many.mean_class_accuracy()
    )
    assert sum(videos for videos, _ in per_class(many).values()) == 50


@pytest.mark.parametrize("measure", MEASURES)
def test_a_video_without_a_label_does_not_count(measure):
    one = scores(n=30)
    some = replace(one, labels=np.where(np.arange(30) % 4 == 0, -1, one.labels))
    assert measure(some) == measure(some.labelled())
    assert len(some.labelled()) == 22
    with pytest.raises(ScoresError, match="no video has a label"):
        measure(replace(one, labels=np.full(30, -1)))
