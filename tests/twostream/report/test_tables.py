import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from made_scores import scores

from twostream.report.tables import (
    accuracies,
    accuracy_table,
    write_confusion_csv,
    write_metrics,
    write_predictions,
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
    assert float(columns[2][0]) == pytest.approx(100 * one.mean_class_accuracy(), abs=0.05)


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


def test_a_class_without_videos_and_one_that_is_never_right_count_as_they_must():
    one = scores(n=4, k=4)
    logits = np.array([[9, 0, 0, 0], [9, 1, 0, 0], [0, 0, 9, 0], [9, 8, 7, 6]], np.float32)
    told = replace(one, logits=logits, labels=np.array([0, 0, 2, 3]))
    assert accuracies(told) == {
        "videos": 4,
        "top1": 0.75,
        "mean_class": pytest.approx((1 + 1 + 0) / 3),
    }


def test_the_best_five_are_told_where_there_are_more_than_five_classes():
    few, many = scores(k=5), scores(k=6)
    assert "top5" not in accuracies(few)
    assert accuracies(many)["top5"] == many.top(5)
    headings = [[str(c.header) for c in accuracy_table([one], "").columns] for one in (few, many)]
    assert headings == [
        ["stream", "top-1", "mean class"],
        ["stream", "top-1", "top-5", "mean class"],
    ]


def test_the_measures_stand_in_place_of_scores_and_what_computed_them_beside(tmp_path):
    one, other = scores(), scores("temporal", seed=1)
    write_metrics(tmp_path / "m.json", {"clips": 3, "test": one, "validation": other})
    read = json.loads((tmp_path / "m.json").read_text())
    assert read["clips"] == 3
    for part, of in (("test", one), ("validation", other)):
        assert read[part]["videos"] == 8
        assert read[part]["top1"] == (of.logits.argmax(1) == of.labels).mean()
        assert "top5" not in read[part]
    assert read["versions"]["numpy"] == np.__version__
