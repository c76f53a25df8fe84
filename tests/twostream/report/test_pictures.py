import cv2
import numpy as np
import pytest

from twostream.report.pictures import write_confusion_png
from twostream.scoring.scores import Scores


def scores(n, k, name="spatial"):
    rng = np.random.default_rng(0)
    return Scores(
        name=name,
        ids=tuple(f"v {i}" for i in range(n)),
        logits=rng.normal(0, 2, (n, k)).astype(np.float32),
        labels=np.arange(n) % k,
        classes=tuple(f"class {c}" for c in range(k)),
        trained_on=(),
    )


@pytest.mark.parametrize("classes", [2, 13, 101])
def test_the_confusion_picture_is_a_picture(tmp_path, classes):
    write_confusion_png(tmp_path / "c.png", [scores(30, classes), scores(30, classes, "fused")])
    picture = cv2.imread(str(tmp_path / "c.png"))
    assert picture is not None
    assert picture.std() > 5


def test_a_class_without_videos_does_not_spoil_the_picture(tmp_path):
    write_confusion_png(tmp_path / "c.png", [scores(2, 5)])
    assert (tmp_path / "c.png").stat().st_size > 0
