from pathlib import Path

import pytest

from flowcache.errors import UserError
from twostream.explanation.of_videos import outputs_for


@pytest.fixture
def videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [Path("in/archery/v_01.avi"), Path("in/bowling/v_01.avi"), Path("in/v_01.mp4")]
    for video in made:
        video.parent.mkdir(parents=True, exist_ok=True)
        video.touch()
    return made


def test_one_video_goes_into_the_file_itself(videos):
    assert outputs_for(videos[:1], Path("strip.png")) == {videos[0]: Path("strip.png")}
    assert outputs_for(videos[:1], Path("of.MP4")) == {videos[0]: Path("of.MP4")}


def test_several_go_into_a_folder_each_under_a_name_of_its_own(videos):
    found = outputs_for(videos, Path("out"))
    assert [path.as_posix() for path in found.values()] == [
        "out/archery/v_01.avi.png",
        "out/bowling/v_01.avi.png",
        "out/v_01.mp4.png",
    ]
    absolute = [videos[0].absolute(), *videos[1:]]
    assert list(outputs_for(absolute, Path("out")).values()) == list(found.values())


def test_no_explanation_lies_outside_of_the_folder(videos, monkeypatch):
    monkeypatch.chdir("in")
    inside, outside = Path("archery/v_01.avi"), Path("../in/bowling/v_01.avi")
    found = outputs_for([inside, outside], Path("out"))
    assert [found[video].as_posix() for video in (inside, outside)] == [
        "out/archery/v_01.avi.png",
        "out/bowling/v_01.avi.png",
    ]


def test_a_folder_may_be_there_and_have_a_dot_in_its_name(videos):
    Path("out.v2").mkdir()
    assert outputs_for(videos[:1], Path("out.v2"))[videos[0]] == Path("out.v2/v_01.avi.png")
    assert outputs_for([], Path("out")) == {}


@pytest.mark.parametrize(
    ("count", "output", "sentence"),
    [
        (1, "strip.jpg", r"strip\.jpg is no kind of explanation: end it in \.png .* \.mp4"),
        (2, "strip.png", "one file, and there are 2 videos: name a folder"),
        (1, "absent/strip.png", "there is no folder absent: make it"),
    ],
)
def test_what_cannot_be_written_is_refused_first(videos, count, output, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        outputs_for(videos[:count], Path(output))
    assert error.value.parameter == "explain"


def test_a_video_is_not_overwritten(videos):
    with pytest.raises(UserError, match="would overwrite the video"):
        outputs_for([videos[2]], Path("in/archery/../v_01.mp4"))
