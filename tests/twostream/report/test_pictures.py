import cv2
import pytest
from made_scores import scores

from twostream.report.pictures import write_confusion_png


@pytest.mark.parametrize("classes", [2, 13, 101])
def test_the_confusion_picture_is_a_picture(tmp_path, classes):
    write_confusion_png(tmp_path / "c.png", [scores(n=30, k=classes), scores("fused", 30, classes)])
    picture = cv2.imread(str(tmp_path / "c.png"))
    assert picture is not None
    assert picture.std() > 5


def test_a_class_without_videos_does_not_spoil_the_picture(tmp_path):
    write_confusion_png(tmp_path / "c.png", [scores(n=2, k=5)])
    assert (tmp_path / "c.png").stat().st_size > 0
