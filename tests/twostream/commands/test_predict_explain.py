"""`twostream predict --explain`: strips, videos, folders, and whatever may be wrong."""

import json
import shutil

import cv2
import numpy as np
import pytest
from called_commands import run, sentence, succeed
from made_videos import MJPEG_AVI, moving_scene, write_video

import twostream as ts
from flowcache.video.decode import Video

pytestmark = pytest.mark.usefixtures("lasting_children")

VIDEO = "videos/still/v_still_g01_c01.avi"
MOVING = "videos/moving/v_moving_g01_c01.avi"
QUICK = "--clips 2"


@pytest.mark.parametrize("how", ["", "--method rise", "--method grad_cam --crops 3"])
def test_a_strip_stands_beside_the_same_prediction(work, tmp_path, how):
    strip = tmp_path / "strip.png"
    how = f"{QUICK} {how}"
    told = json.loads(succeed(f"predict {MOVING} --explain {strip} --json {how}"))
    views = how.replace("--method rise", "").replace("--method grad_cam", "")
    assert told == json.loads(succeed(f"predict {MOVING} --json {views}"))
    picture = cv2.imread(str(strip))
    assert picture.shape[0] > 4 * 180  # two rows for each of two streams
    assert np.ptp(picture) > 200


def test_a_video_has_a_picture_for_each_field(work, tmp_path):
    succeed(f"predict {MOVING} --run runs/temporal --explain {tmp_path / 'o.mp4'} {QUICK}")
    with Video(MOVING) as source, Video(tmp_path / "o.mp4") as made:
        assert len(made) == len(source) - 1
        assert made.rate == pytest.approx(source.rate)


def test_each_video_of_a_folder_has_its_strip(work, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(VIDEO, tmp_path / "in" / "still.avi")
    shutil.copy(MOVING, tmp_path / "in" / "moving.avi")
    (tmp_path / "in" / "bad.avi").write_bytes(b"no video")
    result = run(
        f"predict {tmp_path / 'in'} --run runs/temporal --explain {tmp_path / 'out'} {QUICK}"
    )
    assert result.exit_code == 1
    assert "bad.avi" in result.output
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["moving.avi.png", "still.avi.png"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (f"{VIDEO} --explain strip.jpg", "strip.jpg is no kind of explanation"),
        (f"{VIDEO} {MOVING} --explain strip.png", "there are 2 videos: name a folder"),
        (f"{VIDEO} --method rise", "it is for explanations: add --explain FILE"),
        (f"{VIDEO} --timeline --explain strip.png", "a timeline has no use for it"),
        (f"{VIDEO} --explain strip.png --method guess", "'guess' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(work, words, expected):
    assert expected in sentence(f"predict {words}")


def test_a_method_that_does_not_suit_the_network_is_told_for_each_video(work, tmp_path):
    strip = tmp_path / "strip.png"
    result = run(f"predict {VIDEO} --explain {strip} --method attention_rollout {QUICK}")
    assert result.exit_code == 1
    assert "attention_rollout is for transformers" in result.output
    assert not strip.exists()


def test_a_video_too_short_for_flow_leaves_no_picture(work, tmp_path):
    strip, short = tmp_path / "strip.png", tmp_path / "short.avi"
    write_video(short, moving_scene(1, 48, 64, 0.0, 0.0, seed=0), MJPEG_AVI)
    result = run(f"predict {short} --explain {strip} {QUICK}")
    assert result.exit_code == 1
    assert "too short" in result.output
    assert not strip.exists()


def test_python_gives_the_same_explanation_as_a_value(work, tmp_path):
    pair = ts.load("runs/spatial", "runs/temporal")
    found = ts.explain_video(pair, MOVING, tmp_path / "strip.png", clips=2)
    assert list(found) == ["spatial", "temporal"]
    told = pair(MOVING, clips=2)
    for name, one in found.items():
        assert isinstance(one, ts.Explanation)
        assert (one.label, one.probability) == told.best[name][0]
    assert (tmp_path / "strip.png").stat().st_size > 0
    with pytest.raises(ts.UserError, match="no kind of explanation"):
        ts.explain_video(pair, MOVING, tmp_path / "strip.gif")
