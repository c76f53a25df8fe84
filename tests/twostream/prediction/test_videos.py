import pytest
from made_videos import MJPEG_AVI, moving_scene, write_video

from twostream.prediction.videos import videos_at


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.avi", "a/1.mp4.avi", "b/.hidden.avi"):
        write_video(tmp_path / "v" / name, moving_scene(2, 16, 16, 1, 0), MJPEG_AVI)
    (tmp_path / "v" / "notes.txt").write_text("no video")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_folders_give_their_videos_and_files_themselves_each_once(folder):
    inside = [folder / "v" / "a" / "1.mp4.avi", folder / "v" / "b" / "2.avi"]
    assert videos_at([folder / "v"]) == (inside, [])
    # A file is taken as it is named, also where it does not end as a video does, or is not there.
    others = [folder / "v" / "notes.txt", folder / "absent"]
    assert videos_at([*others, folder / "v", inside[1]]) == ([*others, *inside], [])


def test_a_folder_without_videos_does_not_stop_the_others(folder):
    videos, failures = videos_at([folder / "empty", folder / "v"])
    assert len(videos) == 2
    ((path, why),) = failures
    assert path == folder / "empty"
    assert "holds no video" in why
