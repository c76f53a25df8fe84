import json

import pytest
from called_commands import run, sentence
from made_videos import MJPEG_AVI, decode_plainly, moving_scene, write_video
from stub_networks import stub_network

from flowcache.cache.recipe import Recipe

pytestmark = pytest.mark.usefixtures("lasting_children")


@pytest.fixture
def words(monkeypatch, tmp_path):
    """The words that name a run, whose network is a stub, and a video."""
    network = stub_network("temporal", Recipe.of("farneback", size="24", bound=16.0))
    monkeypatch.setattr("twostream.prediction.predict.load_network", lambda *_: network)
    video = write_video(tmp_path / "clip.avi", moving_scene(12, 48, 64, 1, 0), MJPEG_AVI)
    write_video(tmp_path / "other.avi", moving_scene(12, 48, 64, 0, 1), MJPEG_AVI)
    return ["predict", str(video), "--run", str(tmp_path / "run")]


def test_an_overlay_is_written_beside_the_timeline_that_it_shows(words, tmp_path):
    output = tmp_path / "shown" / "out.mp4"
    result = run([*words, "--overlay", str(output), "--hop", "0.1", "--json"])
    assert result.exit_code == 0, result.output
    (timeline,) = json.loads(result.stdout)
    assert timeline["hop"] == 0.1
    assert timeline["segments"]["run"]
    assert f"wrote {output}" in result.stderr
    assert len(decode_plainly(output)) == 12


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--overlay", "{folder}/out.gif"], r"must end in .mp4 or .avi (--overlay)"),
        (["--overlay", "{folder}/clip.avi"], "would overwrite the video"),
        (["--overlay", "{folder}/clip.avi/o.mp4"], "cannot be written"),
        (
            ["--overlay", "{folder}/o.mp4", "{folder}/other.avi"],
            "of one video, and here are 2: name one",
        ),
        (["--overlay", "{folder}/o.mp4", "--top", "3"], "has no use for it"),
    ],
)
def test_an_overlay_that_cannot_be_is_refused_before_anything_is_computed(
    words, tmp_path, more, told
):
    refused = sentence([*words, *(word.format(folder=tmp_path) for word in more)])
    assert told in refused
    assert not (tmp_path / "o.mp4").exists()


def test_a_video_that_fails_has_no_overlay(words, tmp_path):
    (tmp_path / "clip.avi").write_bytes(b"no video at all")
    result = run([*words, "--overlay", str(tmp_path / "o.mp4")])
    assert result.exit_code == 1
    assert "not a readable video" in result.output
    assert not (tmp_path / "o.mp4").exists()
