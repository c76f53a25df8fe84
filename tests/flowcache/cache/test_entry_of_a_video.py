"""One video from end to end, against the same by hand."""

import hashlib

import cv2
import made_videos as made
import numpy as np
import pytest
import stub_decoders as stubs

from flowcache.cache.entry import Entry, NoBackwardFlowError
from flowcache.cache.info import Source
from flowcache.extraction.one import Job, extract_video

FRAMES, HEIGHT, WIDTH = 11, 48, 64
BATCHES = [1, HEIGHT * WIDTH * 2, HEIGHT * WIDTH * 5, 10**9]  # pixels


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "v.avi"
    return made.write_video(path, made.moving_scene(FRAMES, HEIGHT, WIDTH, 1.3, -0.7))


def by_hand(path, step):
    """Decode and compute with nothing of ours: frames, and flow (T, 2, H, W)."""
    frames = made.decode_plainly(path)
    gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]
    solver = cv2.FarnebackOpticalFlow.create(
        numLevels=5, pyrScale=0.5, winSize=13, numIters=10, polyN=5, polySigma=1.1
    )
    flow = [solver.calc(gray[t], gray[t + step], None) for t in range(len(gray) - step)]
    return frames, np.moveaxis(np.stack(flow), 3, 1)


@pytest.mark.parametrize(
    ("how", "complete"), [(made.MPEG4_AVI, "yes"), (made.H264_TS, "unknown")], ids=str
)
def test_an_entry_knows_whether_its_video_announced_its_end(
    tmp_path, videos, recipe, how, complete
):
    job = Job(videos(how), "v", tmp_path / "v.h5")
    assert extract_video(job, recipe()).complete == complete
    with Entry(job.entry) as entry:
        assert entry.info.complete == complete


def test_what_is_partial_is_not_complete(tmp_path, videos, recipe):
    raw, ends = videos(made.MJPEG_AVI).read_bytes(), made.packet_ends(videos(made.MJPEG_AVI))
    (tmp_path / "v.avi").write_bytes(raw[: ends[9] - 60] + bytes(60) + raw[ends[9] :])
    job = Job(tmp_path / "v.avi", "v", tmp_path / "v.h5")
    info = extract_video(job, recipe(), keep_partial=True)
    assert info.partial
    assert info.complete == "unknown"


@pytest.mark.parametrize("step", [1, 2, 3])
def test_each_field_is_the_flow_from_its_frame_to_that_a_step_later(tmp_path, video, recipe, step):
    made_by = recipe(frame_step=step)
    frames, flow = by_hand(video, step)
    expected = np.rint(flow.astype(float) / made_by.quantizer_step)
    for most in BATCHES:

        class Batched(stubs.Video):
            def frames(self, resize, most=most):
                return super().frames(resize, batch_pixels=most)

        info = extract_video(Job(video, "v.avi", tmp_path / "v.h5"), made_by, decode=Batched)
        assert (info.frames, info.fields) == (FRAMES, FRAMES - step)
        with Entry(tmp_path / "v.h5") as entry:
            codes = entry.codes[:]
            assert codes.shape == flow.shape
            np.testing.assert_allclose(codes, expected, atol=1 if step > 1 else 0)
            # And it is the motion that was put in, per step.
            median = np.median(entry.flow[:].data[..., 12:-12, 12:-12], (0, 2, 3))
            np.testing.assert_allclose(median, [1.3 * step, -0.7 * step], atol=0.15)
            assert np.abs(entry.rgb[:].astype(int) - frames).mean() < 3
            np.testing.assert_allclose(entry.times, np.arange(FRAMES) / 25, atol=1e-6)
            assert info.source == Source.of(video, "v.avi")
            assert info.source.sha256 == hashlib.sha256(video.read_bytes()).hexdigest()
            assert info.source.size_bytes == video.stat().st_size
            assert entry.verify() == info


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("most", [BATCHES[1], BATCHES[-1]])
def test_the_flow_backward_is_that_of_the_two_frames_the_other_way_round(
    tmp_path, video, recipe, step, most
):
    class Batched(stubs.Video):
        def frames(self, resize):
            return super().frames(resize, batch_pixels=most)

    for name, backward in (("one", False), ("both", True)):
        job = Job(video, "v.avi", tmp_path / f"{name}.h5")
        extract_video(job, recipe(frame_step=step, backward=backward), decode=Batched)
    with Entry(tmp_path / "one.h5") as one, Entry(tmp_path / "both.h5") as both:
        fields = FRAMES - step
        assert (one.codes[:].shape[1], both.codes[:].shape[1]) == (2, 4)
        assert both.info.fields == len(both.backward) == fields
        np.testing.assert_array_equal(both.codes[:][:, :2], one.codes[:])
        np.testing.assert_array_equal(both.flow[:].data, one.flow[:].data)
        np.testing.assert_array_equal(both.flow_means[:, :2], one.flow_means)
        back = both.backward[:].data
        np.testing.assert_allclose(both.flow_means[:, 2:], back.mean((2, 3)), atol=1e-5)
        # What the video's frames give in the order of time reversed, decoded with nothing of ours.
        gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in made.decode_plainly(video)]
        pairs = [np.stack([gray[t + step], gray[t]]) for t in range(fields)]
        expected = np.concatenate([recipe().create_algorithm()(pair).data for pair in pairs])
        np.testing.assert_allclose(back, expected, atol=both.info.recipe.quantizer_step / 2 + 1e-4)
        inside = np.s_[..., 12:-12, 12:-12]
        np.testing.assert_allclose(
            np.median(back[inside], (0, 2, 3)), [-1.3 * step, 0.7 * step], atol=0.15
        )
        assert both.verify() == both.info
        with pytest.raises(NoBackwardFlowError, match=r"one\.h5 .*--backward"):
            _ = one.backward


def test_a_resized_entry_says_both_sizes_and_its_flow_is_in_stored_pixels(tmp_path, recipe):
    path = made.write_video(tmp_path / "v.avi", made.moving_scene(6, 128, 192, 4.0, 0.0))
    info = extract_video(Job(path, "v.avi", tmp_path / "v.h5"), recipe(size="64"))
    assert (info.original_width, info.original_height) == (192, 128)
    assert (info.width, info.height) == (96, 64)
    flow = Entry(tmp_path / "v.h5").flow[:].data
    assert flow.shape == (5, 2, 64, 96)
    np.testing.assert_allclose(np.median(flow, (0, 2, 3)), [2.0, 0.0], atol=0.15)
