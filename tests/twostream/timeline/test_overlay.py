from dataclasses import replace

import numpy as np
import pytest
from made_videos import MJPEG_AVI, decode_plainly, moving_scene, write_video
from stub_networks import CLASSES, stub_network

from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from twostream.prediction.predict import Predictor
from twostream.timeline.drawing import colour_of
from twostream.timeline.overlay import write_overlay
from twostream.timeline.predict import predict_timeline

pytestmark = pytest.mark.usefixtures("lasting_children")

FRAMES = 20


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("overlay") / "clip.avi"
    return write_video(path, moving_scene(FRAMES, 96, 128, 2, 0), MJPEG_AVI, rate=10)


@pytest.fixture
def predictor(monkeypatch, tmp_path):
    recipe = Recipe.of("farneback", size="48", bound=16.0, frame_step=2)
    networks = {stream: stub_network(stream, recipe) for stream in ("spatial", "temporal")}
    monkeypatch.setattr(
        "twostream.prediction.predict.load_network", lambda folder, _: networks[folder.name]
    )
    return Predictor([tmp_path / name for name in networks])


@pytest.fixture
def timeline(predictor, video):
    """Of the first second the second class is the best, of the rest the third."""
    made = predict_timeline(predictor, video)
    edges = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    scores = np.eye(3, dtype=np.float32)[[1, 1, 2, 2]] * 0.9 + 0.05
    options = replace(made.options, min_length=0.1)
    return replace(made, edges=edges, scores=dict.fromkeys(made.scores, scores), options=options)


def near(picture, colour):
    return np.abs(picture.astype(int) - colour).max(-1) < 40


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_each_frame_is_shown_with_what_is_said_of_it(predictor, timeline, video, tmp_path, suffix):
    output, shares = tmp_path / f"out{suffix}", []
    write_overlay(timeline, output, predictor, shares.append)
    assert shares[-1] == 1
    assert shares == sorted(shares)
    pictures, frames = decode_plainly(output), decode_plainly(video)
    assert len(pictures) == FRAMES
    # A frame of a short side of 96 is enlarged five times, and stands above what is said of it.
    high, wide = 480, 640
    assert pictures.shape[2] == wide
    assert pictures.shape[1] > high
    for number in (0, 3, 12, 19):
        shown = pictures[number, :high:5, : wide // 2 : 5].astype(int)
        assert np.abs(shown - frames[number, :, :64]).mean() < 12
    labels = pictures[:, high:]
    for number, (best, other) in ((3, (1, 2)), (15, (2, 1))):
        row = labels[number, 20:50]  # of the best class, with bars that are nearly full
        assert near(row, colour_of(best)).mean() > 0.5
        assert near(row, colour_of(other)).mean() < 0.1
    # Below, the segment that is still to come is paler than the one that is there.
    strip = labels[3, -60:]
    assert near(strip, colour_of(1)).mean() > 0.03
    assert near(strip, colour_of(2)).mean() < 0.005
    assert near(labels[19, -60:], colour_of(2)).mean() > 0.1


def test_the_flow_is_in_the_corner_from_the_first_frame_that_has_one(
    predictor, timeline, video, tmp_path
):
    write_overlay(timeline, tmp_path / "out.mp4", predictor)
    corners = decode_plainly(tmp_path / "out.mp4")[:, 20:140, -180:-20].astype(int)
    # The video is grey. All of it moves to the right, which is red.
    colourful = [np.mean(c[..., 0] - c[..., 2] > 60) for c in corners]
    assert max(colourful[:2]) < 0.02
    assert min(colourful[2:]) > 0.4


def test_without_a_network_that_reads_flow_none_is_shown(timeline, monkeypatch, tmp_path):
    network = stub_network("spatial", Recipe.of("farneback", size="48"))
    monkeypatch.setattr("twostream.prediction.predict.load_network", lambda *_: network)
    scores = {"spatial": timeline.scores["spatial"]}
    write_overlay(
        replace(timeline, scores=scores), tmp_path / "out.mp4", Predictor([tmp_path / "spatial"])
    )
    corners = decode_plainly(tmp_path / "out.mp4")[:, 20:140, -180:-20].astype(int)
    assert np.mean(np.ptp(corners, axis=-1) > 60) < 0.02


def test_a_video_that_breaks_off_is_shown_as_far_as_its_timeline(
    predictor, timeline, video, tmp_path
):
    cut = tmp_path / "cut.avi"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    partial = replace(timeline, video=str(cut), partial="it breaks")
    write_overlay(partial, tmp_path / "out.mp4", predictor)
    assert 8 < len(decode_plainly(tmp_path / "out.mp4")) < FRAMES
    with pytest.raises(UserError, match=r"cut\.avi"):
        write_overlay(replace(partial, partial=""), tmp_path / "whole.mp4", predictor)
    assert not (tmp_path / "whole.mp4").exists()


def test_what_cannot_be_written_is_refused(predictor, timeline, video, tmp_path):
    with pytest.raises(UserError, match=r"must end in \.mp4 or \.avi"):
        write_overlay(timeline, tmp_path / "out.gif", predictor)
    with pytest.raises(UserError, match="would overwrite the video"):
        write_overlay(timeline, video, predictor)
    assert timeline.classes == CLASSES
