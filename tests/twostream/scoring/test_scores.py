import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_scores import in_another_order
from torchmetrics.functional import classification

from twostream.scoring.align import align
from twostream.scoring.scores import Scores, ScoresError


def scores(name="spatial", n=12, k=6, seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "ids": tuple(f"class/video {i:03}" for i in range(n)),
        "logits": rng.normal(0, 3, (n, k)).astype(np.float32),
        "labels": rng.integers(0, k, n),
        "classes": tuple(f"class {c}" for c in range(k)),
        "trained_on": ("class/other a", "class/other b"),
    }
    return Scores(name=name, **values | changes)


# Measures


@given(st.integers(1, 40), st.integers(2, 9), st.integers(0, 10_000))
def test_the_measures_agree_with_torchmetrics(n, k, seed):
    one = scores(n=n, k=k, seed=seed)
    logits, labels = torch.from_numpy(one.logits), torch.from_numpy(one.labels)
    for best in range(1, k + 1):
        expected = classification.multiclass_accuracy(
            logits, labels, k, average="micro", top_k=best
        )
        assert one.top(best) == pytest.approx(float(expected), abs=1e-6)
    np.testing.assert_array_equal(
        one.confusion(), classification.multiclass_confusion_matrix(logits, labels, k).numpy()
    )
    expected = [np.mean(one.logits[one.labels == c].argmax(1) == c) for c in set(one.labels)]
    assert one.mean_class_accuracy() == pytest.approx(np.mean(expected))


def test_mean_class_accuracy_is_not_top_1_and_absent_classes_do_not_count():
    # Nine videos of class 0, all right; one of class 1, wrong; none of classes 2 and 3.
    logits = np.zeros((10, 4), np.float32)
    logits[:, 0] = 1
    labels = np.array([0] * 9 + [1])
    one = scores(n=10, k=4, logits=logits, labels=labels)
    assert one.top(1) == pytest.approx(0.9)
    assert one.mean_class_accuracy() == pytest.approx(0.5)


def test_a_tie_counts_against_the_video():
    logits = np.array([[2, 2, 1, 0], [0, 0, 0, 0], [3, 1, 1, 0]], np.float32)
    one = scores(n=3, k=4, logits=logits, labels=np.array([0, 3, 2]))
    # How many classes are as good as the true one or better: 2, 4, 3.
    assert [one.top(k) for k in (1, 2, 3, 4)] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_top_1_and_mean_class_accuracy_agree_on_ties():
    # One video a class, so both are the same share by definition.
    one = scores(n=3, k=3, logits=np.zeros((3, 3), np.float32), labels=np.arange(3))
    assert one.mean_class_accuracy() == pytest.approx(one.top(1))


def test_videos_without_a_label_are_left_out_of_every_measure():
    one = scores(n=40, groups=tuple(f"group {i % 7}" for i in range(40)))
    some = replace(one, labels=np.where(np.arange(40) % 3 == 0, -1, one.labels))
    rows = np.flatnonzero(np.arange(40) % 3)
    told = some.labelled()
    assert told.ids == tuple(one.ids[row] for row in rows)
    assert told.groups == tuple(one.groups[row] for row in rows)
    np.testing.assert_array_equal(told.logits, one.logits[rows])
    for measure in (
        lambda s: s.right().tolist(),
        lambda s: s.top(1),
        lambda s: s.top(3),
        lambda s: s.mean_class_accuracy(),
        lambda s: s.confusion().tolist(),
    ):
        assert measure(some) == measure(told)
        with pytest.raises(ScoresError, match="no video has a label"):
            measure(replace(one, labels=np.full(40, -1)))
    assert one.labelled() is one


def test_more_places_than_classes_hold_every_video():
    assert scores(k=3).top(5) == 1


@given(st.floats(-1e4, 1e4, width=32), st.integers(0, 99))
def test_softmax_is_a_distribution_and_ignores_a_constant(shift, seed):
    one = scores(seed=seed)
    probabilities = one.softmax()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    expected = torch.softmax(torch.from_numpy(one.logits.astype(np.float64)), 1)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    moved = replace(one, logits=one.logits + np.float32(shift))
    assert np.isfinite(moved.softmax()).all()
    huge = replace(one, logits=one.logits * np.float32(1e4))
    assert np.isfinite(huge.softmax()).all()


# What scores refuse


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": np.zeros((3, 2), np.float32)}, "need logits"),
        ({"labels": np.zeros(2, np.int64)}, "need logits"),
        ({"ids": ("a", "b", "a")}, "twice"),
        ({"labels": np.array([0, 1, 3])}, "none of the 3 classes"),
        ({"labels": np.array([0, 1, -2])}, "none of the 3 classes"),
        ({"average": "medians"}, "no average of 'medians'"),
    ],
)
def test_scores_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ScoresError, match=message):
        scores(n=3, k=3, **changes)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused_by_the_videos_name(bad):
    logits = np.zeros((3, 3), np.float32)
    logits[1, 2] = bad
    with pytest.raises(ScoresError, match="video 001"):
        scores(n=3, k=3, logits=logits)


# Files


def test_scores_come_back_from_a_file_without_pickles(tmp_path):
    one = scores(classes=("run", "walk fast", "schön", "d", "e", "f"))
    one.save(tmp_path / "runs" / "scores.npz")
    again = Scores.load(tmp_path / "runs" / "scores.npz")
    for name in ("name", "ids", "classes", "trained_on"):
        assert getattr(again, name) == getattr(one, name)
        assert type(getattr(again, name)) is type(getattr(one, name))
    np.testing.assert_array_equal(again.logits, one.logits)
    np.testing.assert_array_equal(again.labels, one.labels)
    with zipfile.ZipFile(tmp_path / "runs" / "scores.npz") as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                assert version == (1, 0)
                _, _, dtype = np.lib.format.read_array_header_1_0(file)
                assert not dtype.hasobject, member


def test_groups_are_kept_and_follow_their_videos(tmp_path):
    one = scores(groups=tuple(f"group {i % 4}" for i in range(12)))
    one.save(tmp_path / "s.npz")
    assert Scores.load(tmp_path / "s.npz").groups == one.groups

    order = np.random.default_rng(2).permutation(12)
    other = replace(
        one,
        ids=tuple(one.ids[i] for i in order),
        groups=tuple(one.groups[i] for i in order),
        labels=one.labels[order],
    )
    assert align([one, other])[1].groups == one.groups
    with pytest.raises(ScoresError, match="12 groups"):
        scores(groups=("a", "b"))


def test_the_average_is_kept_and_older_files_are_of_logits(tmp_path):
    scores(average="softmax").save(tmp_path / "s.npz")
    assert Scores.load(tmp_path / "s.npz").average == "softmax"
    with np.load(tmp_path / "s.npz") as file:
        older = {name: values for name, values in file.items() if name != "average"}
    np.savez(tmp_path / "older.npz", **older)
    assert Scores.load(tmp_path / "older.npz").average == "logits"


def test_no_training_videos_are_no_reason_to_fail(tmp_path):
    scores(trained_on=()).save(tmp_path / "s.npz")
    assert Scores.load(tmp_path / "s.npz").trained_on == ()


def pickled(path):
    np.savez(path, ids=np.array([{}], object))


def cut(path):
    scores().save(path)
    path.write_bytes(path.read_bytes()[:-100])


def one_byte_changed(path):
    scores().save(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        logits = file.getinfo("logits.npy")
    # Between the parts of such a file there are bytes that mean nothing.
    content[logits.header_offset + 30 + len("logits.npy") + logits.compress_size // 2] ^= 255
    path.write_bytes(content)


def bare_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"no scores"),
        lambda path: path.write_bytes(b""),
        lambda path: np.savez(path, other=np.zeros(3)),
        pickled,
        cut,
        one_byte_changed,
        bare_array,
    ],
    ids=["text", "empty", "other arrays", "pickles", "cut", "one byte changed", "one array"],
)
def test_a_file_of_something_else_is_refused_by_name(tmp_path, make):
    make(tmp_path / "scores.npz")
    with pytest.raises(ScoresError, match=r"scores\.npz"):
        Scores.load(tmp_path / "scores.npz")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ScoresError, match="does not exist"):
        Scores.load(tmp_path / "scores.npz")


# Joining


@given(st.integers(0, 1000))
def test_joining_goes_by_id_whatever_the_order_of_the_rows(seed):
    one = scores("spatial")
    other = scores("temporal", seed=1, labels=one.labels)
    first, second = align([one, in_another_order(other, seed)])
    assert first.ids == second.ids == one.ids
    np.testing.assert_array_equal(second.logits, other.logits)
    np.testing.assert_array_equal(second.labels, one.labels)
    assert second.name == "temporal"


def test_three_streams_are_joined_in_the_order_of_the_first():
    one = scores("a")
    many = align([in_another_order(one, 3), one, in_another_order(replace(one, name="c"), 5)])
    assert {s.ids for s in many} == {in_another_order(one, 3).ids}
    for s in many[1:]:
        np.testing.assert_array_equal(s.logits, many[0].logits)


def without(one, *rows):
    keep = [i for i in range(len(one)) if i not in rows]
    ids = tuple(one.ids[i] for i in keep)
    return replace(one, ids=ids, logits=one.logits[keep], labels=one.labels[keep])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: without(s, 3), ["video 003", "only the first"]),
        (lambda s: without(s, 0, 1, 2, 3, 4), ["video 000", "video 002", "and 2 more"]),
        (lambda s: replace(s, ids=("class/new", *s.ids[1:])), ["class/new", "video 000"]),
        (lambda s: replace(s, classes=("other", *s.classes[1:])), ["classes", "other", "class 0"]),
        (
            lambda s: replace(s, classes=(s.classes[1], s.classes[0], *s.classes[2:])),
            ["classes", "order"],
        ),
        (
            lambda s: replace(s, labels=np.where(np.arange(12) == 4, (s.labels + 1) % 6, s.labels)),
            ["label 1 videos", "video 004"],
        ),
        (
            lambda s: replace(s, labels=np.where(np.arange(12) == 4, -1, s.labels)),
            ["label 1 videos", "video 004", "and none"],
        ),
        (lambda s: replace(s, trained_on=("class/other a",)), ["splits", "class/other b"]),
        (lambda s: replace(s, average="softmax"), ["average logits and softmax"]),
    ],
    ids=[
        "fewer",
        "many fewer",
        "another",
        "class",
        "class order",
        "label",
        "no label",
        "split",
        "average",
    ],
)
@pytest.mark.parametrize("mixed", [False, True])
def test_what_does_not_belong_together_is_refused_with_the_first_differences(change, words, mixed):
    one = scores("spatial")
    other = change(replace(one, name="temporal"))
    with pytest.raises(ScoresError, match="spatial and temporal") as caught:
        align([one, in_another_order(other) if mixed else other])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_difference_of_the_third_stream_is_refused_too():
    one = scores("a")
    with pytest.raises(ScoresError, match="a and c"):
        align([one, replace(one, name="b"), without(replace(one, name="c"), 0)])


def test_another_order_of_the_training_videos_is_the_same_split():
    one = scores("a")
    align([one, replace(one, name="b", trained_on=one.trained_on[::-1])])
