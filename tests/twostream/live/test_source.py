import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from made_videos import H264_MP4, H264_TS, MJPEG_AVI, decode_plainly, moving_scene, write_video

from flowcache.errors import UserError
from twostream.live.source import open_source, without_password


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    scene = moving_scene(12, 48, 64, 2, 0)
    write_video(folder / "clip.mp4", scene, H264_MP4)
    write_video(folder / "clip.avi", scene, MJPEG_AVI)
    # Two streams of MPEG-TS behind each other are one, and its picture changes in the middle.
    first, second = (
        write_video(folder / f"{n}.ts", moving_scene(12, h, w, 2, 0), H264_TS).read_bytes()
        for n, (h, w) in enumerate([(48, 64), (64, 48)])
    )
    (folder / "both.ts").write_bytes(first + second)
    return folder


@pytest.fixture
def address(folder):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def sent(content, hang_up=lambda: None):
    """The address of someone who sends bytes to the first who asks, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def send():
        connection, _ = listener.accept()
        with listener, connection:
            connection.sendall(content)
            hang_up()

    threading.Thread(target=send, daemon=True).start()
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def rgb(pictures):
    return [picture.to_ndarray(format="rgb24") for picture, _ in pictures]


def test_a_file_gives_its_pictures_with_their_times(folder):
    source = open_source(str(folder / "clip.mp4"))
    pictures = list(source)
    np.testing.assert_array_equal(rgb(pictures), decode_plainly(folder / "clip.mp4"))
    assert np.diff([time for _, time in pictures]) == pytest.approx([1 / 25] * 11)
    assert source.rate == 25
    assert source.is_recorded
    assert source.name == str(folder / "clip.mp4")


def test_a_file_over_the_network_is_a_file_and_what_has_no_end_is_not(folder, address):
    source = open_source(f"{address}/clip.mp4")
    assert source.is_recorded
    np.testing.assert_array_equal(rgb(source), decode_plainly(folder / "clip.mp4"))
    source = open_source(sent((folder / "0.ts").read_bytes()))
    assert not source.is_recorded
    np.testing.assert_array_equal(rgb(source), decode_plainly(folder / "0.ts"))


def test_a_stream_may_change_its_picture(folder):
    source = open_source(sent((folder / "both.ts").read_bytes()))
    sizes = [picture.shape[:2] for picture in rgb(source)]
    assert set(sizes) == {(48, 64), (64, 48)}
    assert sizes == sorted(sizes)


def test_a_stream_goes_on_behind_packets_that_cannot_be_decoded(folder):
    content = bytearray((folder / "clip.avi").read_bytes())
    starts = [n for n in range(len(content)) if content[n : n + 3] == b"\xff\xd8\xff"]
    for start in starts[4:6]:  # two frames are no JPEG any more
        content[start : start + 600] = bytes(600)
    source = open_source(sent(bytes(content)))
    pictures = rgb(source)
    assert source.damaged == 2
    assert len(pictures) == 10


def test_a_stream_that_falls_silent_has_broken_off(folder, monkeypatch):
    monkeypatch.setattr("twostream.live.source._PATIENCE", 0.2)
    given_up = threading.Event()
    content = (folder / "clip.avi").read_bytes()
    source = open_source(sent(content[: len(content) * 2 // 3], given_up.wait))
    pictures = []
    with pytest.raises(UserError, match=r"broke off after \d+ frames \(nothing came for 0.2 s"):
        pictures.extend(rgb([picture]) for picture in source)
    given_up.set()
    assert len(pictures) > 4


def test_a_file_that_is_cut_gives_what_it_has_and_then_says_so(folder, tmp_path):
    content = (folder / "clip.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 2 // 3])
    pictures = []
    with pytest.raises(UserError, match=r"cut\.avi: .*(ends early|damaged)"):
        pictures.extend(iter(open_source(str(tmp_path / "cut.avi"))))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.mp4", "nowhere.mp4 is no file: name a camera by its number, a file or a URL"),
        ("", "is no file"),
        ("tcp://user:secret@127.0.0.1:9", r"tcp://127\.0\.0\.1:9 cannot be opened \(.*refused"),
        ("rubbish://x", r"rubbish://x cannot be opened \(.*protocol"),
        ("rtsp://user:secret@[camera", "the address is no URL that can be read"),
        ("99999999999", "camera 99999999999 cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_one_sentence(source, words):
    with pytest.raises(UserError, match=words) as caught:
        open_source(source)
    assert caught.value.parameter == "source"
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_video_is_refused(tmp_path, address):
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    with pytest.raises(UserError, match=r"bad\.mp4: not a readable video"):
        open_source(str(tmp_path / "bad.mp4"))
    with pytest.raises(UserError, match=r"missing\.mp4 cannot be opened \(.*404"):
        open_source(f"{address}/missing.mp4")


def test_passwords_are_not_printed():
    url = "rtsp://admin:secret@camera.local:554/stream?channel=1"
    assert without_password(url) == "rtsp://camera.local:554/stream?channel=1"
    assert without_password("http://127.0.0.1/x@y") == "http://127.0.0.1/x@y"


class MadeCamera:
    """What OpenCV gives for a camera: blue, then green, then no more."""

    def __init__(self, number):
        self.number, self.released = number, False
        self._pictures = [np.full((4, 6, 3), bgr, np.uint8) for bgr in ((200, 0, 0), (0, 100, 0))]

    def isOpened(self):  # noqa: N802
        return self.number == 3

    def set(self, *_):
        return False

    def get(self, _):
        return 30.0

    def read(self):
        return (True, self._pictures.pop(0)) if self._pictures else (False, None)

    def release(self):
        self.released = True


def test_a_camera_gives_upright_colours_until_it_is_taken_away(monkeypatch):
    monkeypatch.setattr("cv2.VideoCapture", MadeCamera)
    source = open_source("3")
    assert (source.name, source.rate, source.is_recorded) == ("camera 3", 30.0, False)
    pictures = []
    with pytest.raises(UserError, match="camera 3 gives no more pictures after 2"):
        pictures.extend(rgb([picture]) for picture in source)
    with pytest.raises(UserError, match="camera 4 cannot be opened"):
        open_source("4")
