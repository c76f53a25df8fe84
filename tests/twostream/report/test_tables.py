import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from made_scores import scores
from rich.console import Console

from twostream.report.tables import (
    accuracies,
    accuracy_table,
    write_confusion_csv,
    write_metrics,
    write_predictions,
)
from twostream.scoring.intervals import interval
from twostream.scoring.metrics import expected_calibration_error, negative_log_likelihood


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("k", [3, 7])
def test_the_table_holds_percentages_with_their_intervals(k):
    many = [scores(n=40, k=k), scores("temporal", n=40, k=k, seed=1)]
    table = accuracy_table(many, "title")
    columns = {str(column.header): list(column.cells) for column in table.columns}
    assert columns["stream"] == ["spatial", "temporal"]
    for row, one in enumerate(many):
        for heading, measure in (("top-1", "top1"), ("mean class", "mean_class")):
            assert columns[heading][row] == str(interval([one], measure))
        told = [float(columns[heading][row]) for heading in ("ECE", "NLL")]
        expected = [100 * expected_calibration_error(one), negative_log_likelihood(one)]
        assert told == pytest.approx(expected, abs=0.051)
        if k > 5:
            assert float(columns["top-5"][row]) == pytest.approx(100 * one.top(5), abs=0.05)


def test_the_table_says_over_what_its_intervals_are_and_fits_a_terminal():
    one = scores(n=12, k=7)
    assert accuracy_table([one], "").caption.endswith("over videos")
    assert accuracy_table([replace(one, groups=one.ids)], "").caption.endswith("over videos")
    grouped = replace(one, groups=("a", "b") * 6, name="a_name_of_a_stream_that_is_long_indeed")
    assert accuracy_table([grouped], "").caption.endswith("over groups")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(accuracy_table([grouped], "title"))
    cells = [line.split("│") for line in console.export_text().splitlines() if "│" in line]
    assert "".join(cell[1].strip() for cell in cells) == grouped.name
    assert not any("…" in text for cell in cells for text in cell)


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


def test_a_video_without_a_label_is_predicted_and_neither_right_nor_wrong(tmp_path):
    one = replace(scores(), labels=np.array([0, -1, 2, 0, 1, 2, 0, 1]))
    write_predictions(tmp_path / "p.csv", one)
    *_, last = rows_of(tmp_path / "p.csv")
    assert last[0] == one.ids[1]
    assert (last[1], last[4]) == ("", "")
    assert last[2] == one.classes[one.logits[1].argmax()]
    assert accuracies(one) == accuracies(one.labelled())
    assert accuracies(one)["videos"] == 7


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
    found = accuracies(told)
    assert found["videos"] == 4
    assert found["top1"] == 0.75
    assert found["mean_class"] == pytest.approx((1 + 1 + 0) / 3)
    assert found["classes"] == {
        "class 0": {"videos": 2, "top1": 1.0},
        "class 2": {"videos": 1, "top1": 1.0},
        "class 3": {"videos": 1, "top1": 0.0},
    }


def test_the_intervals_are_told_with_what_they_were_made_of():
    one = replace(scores(n=20), groups=tuple("abcde" * 4))
    found = accuracies(one)["intervals"]
    for measure in ("top1", "mean_class"):
        expected = interval([one], measure, resamples=10_000)
        assert found[measure] == [expected.low, expected.high]
    assert (found["level"], found["groups"], found["resamples"]) == (0.95, 5, 10_000)
    assert accuracies(replace(one, groups=()))["intervals"]["groups"] == 20


def test_the_best_five_are_told_where_there_are_more_than_five_classes():
    few, many = scores(k=5), scores(k=6)
    assert "top5" not in accuracies(few)
    assert accuracies(many)["top5"] == many.top(5)
    headings = [[str(c.header) for c in accuracy_table([one], "").columns] for one in (few, many)]
    assert headings == [
        ["stream", "top-1", "mean class", "ECE", "NLL"],
        ["stream", "top-1", "top-5", "mean class", "ECE", "NLL"],
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
