from dataclasses import replace

import cv2
import numpy as np
import pytest

from twostream.report.weight_curve import WeightCurve, write_curve_csv, write_curve_png

CURVE = WeightCurve("softmax", "temporal", [0, 0.5, 1], [0.2, 0.9, 0.5], [0.1, 0.8, 0.7], 0.5)


def test_the_table_has_a_row_for_each_share(tmp_path):
    write_curve_csv(tmp_path / "w.csv", CURVE)
    assert (tmp_path / "w.csv").read_text().split() == [
        "share,validation,test",
        "0.0000,0.1000,0.2000",
        "0.5000,0.8000,0.9000",
        "1.0000,0.7000,0.5000",
    ]


@pytest.mark.parametrize("change", [{"validation": None}, {"taken": None}, {"taken": 0.9}])
def test_the_picture_shows_each_curve_and_the_share_that_was_taken(tmp_path, change):
    pictures = []
    for name, curve in (("all.png", CURVE), ("changed.png", replace(CURVE, **change))):
        write_curve_png(tmp_path / name, curve)
        pictures.append(cv2.imread(str(tmp_path / name)))
    assert all(picture.std() > 5 for picture in pictures)
    assert pictures[0].shape != pictures[1].shape or not np.array_equal(*pictures)
