import av
import cv2
import numpy as np
import pytest

from flowcache.show.files import write_png, write_video


def read_video(path):
    """The frames, and how many there are a second."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [f.to_ndarray(format="rgb24") for f in container.decode(stream)], stream.average_rate


def test_a_written_png_holds_what_was_written(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    path = tmp_path / "new" / "a.png"
    for _ in range(2):  # and takes the place of an older one
        write_png(path, picture)
        np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), picture)
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_written_videos_decode_to_what_was_written(name, tmp_path):
    ramp = np.linspace(20, 230, 64).astype(np.uint8)
    pictures = [np.repeat(np.roll(ramp, t)[None, :, None], 48, 0).repeat(3, 2) for t in range(4)]
    write_video(tmp_path / name, pictures, 30000 / 1001)
    frames, rate = read_video(tmp_path / name)
    assert float(rate) == pytest.approx(30000 / 1001)
    assert len(frames) == 4
    assert np.abs(np.stack(frames).astype(int) - np.stack(pictures)).mean() < 4


def test_without_libx264_there_is_another_codec(tmp_path, monkeypatch):
    def unknown(name, mode):
        raise av.codec.codec.UnknownCodecError(name)

    monkeypatch.setattr(av, "Codec", unknown)
    write_video(tmp_path / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3, 25)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert len(read_video(tmp_path / "a.mp4")[0]) == 3


def test_a_video_needs_a_picture(tmp_path):
    with pytest.raises(ValueError, match="no picture"):
        write_video(tmp_path / "a.mp4", [], 25)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_off_video_leaves_nothing(tmp_path):
    def pictures():
        yield np.zeros((32, 32, 3), np.uint8)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_video(tmp_path / "a.mp4", pictures(), 25)
    assert list(tmp_path.iterdir()) == []


def test_the_same_pictures_are_the_same_bytes(tmp_path):
    pictures = list(np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), np.uint8))
    for name in ("one.mp4", "two.mp4", "one.avi", "two.avi"):
        write_video(tmp_path / name, pictures, 25)
    for suffix in (".mp4", ".avi"):
        one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two
