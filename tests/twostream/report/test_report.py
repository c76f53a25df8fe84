import csv

import cv2
import numpy as np
import pytest

from twostream.report.report import (
    accuracy_table,
    write_confusion_csv,
    write_confusion_png,
    write_predictions,
)
from twostream.scoring.scores import Scores


def scores(name="spatial", n=8, k=3, seed=0):
    rng = np.random.default_rng(seed)
    return Scores(
        name=name,
        ids=tuple(f"class {i % k}/v {i}, x" for i in range(n)),
        logits=rng.normal(0, 2, (n, k)).astype(np.float32),
        labels=np.arange(n) % k,
        classes=tuple(f"class {c}" for c in range(k)),
        trained_on=(),
    )


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_table_holds_percentages():
    one = scores()
    table = accuracy_table([one, scores("temporal", seed=1)], "title")
    columns = [list(column.cells) for column in table.columns]
    assert columns[0] == ["spatial", "temporal"]
    assert float(columns[1][0]) == pytest.approx(100 * one.top(1), abs=0.05)
    assert columns[2] == ["100.0", "100.0"]
    assert float(columns[3][0]) == pytest.approx(100 * one.mean_class_accuracy(), abs=0.05)


def test_predictions_name_every_video_the_worst_first(tmp_path):
    one = scores()
    write_predictions(tmp_path / "p.csv", one)
    head, *rows = rows_of(tmp_path / "p.csv")
    assert head == ["video", "label", "prediction", "probability", "probability of the label"]
    assert sorted(row[0] for row in rows) == sorted(one.ids)
    own = [float(row[4]) for row in rows]
    assert own == sorted(own)
    for identifier, label, prediction, probability, of_label in rows:
        number = one.ids.index(identifier)
        powers = np.exp(one.logits[number].astype(float))
        powers /= powers.sum()
        assert label == one.classes[one.labels[number]]
        assert prediction == one.classes[powers.argmax()]
        assert float(probability) == pytest.approx(powers.max(), abs=1e-4)
        assert float(of_label) == pytest.approx(powers[one.labels[number]], abs=1e-4)


def test_the_confusion_matrix_counts_true_classes_in_rows(tmp_path):
    one = scores()
    write_confusion_csv(tmp_path / "c.csv", one)
    head, *rows = rows_of(tmp_path / "c.csv")
    assert head[1:] == [row[0] for row in rows] == list(one.classes)
    for true in range(3):
        for predicted in range(3):
            both = (one.labels == true) & (one.logits.argmax(1) == predicted)
            assert int(rows[true][1 + predicted]) == both.sum()


@pytest.mark.parametrize("classes", [2, 13, 101])
def test_the_confusion_picture_is_a_picture(tmp_path, classes):
    write_confusion_png(tmp_path / "c.png", [scores(n=30, k=classes), scores("fused", 30, classes)])
    picture = cv2.imread(str(tmp_path / "c.png"))
    assert picture is not None
    assert picture.std() > 5


def test_a_class_without_videos_does_not_spoil_the_picture(tmp_path):
    write_confusion_png(tmp_path / "c.png", [scores(n=2, k=5)])
    assert (tmp_path / "c.png").stat().st_size > 0
