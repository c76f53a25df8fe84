import os
import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from twostream.data.clip_reader import ClipReader
from twostream.data.clip_spec import ClipSpec
from twostream.data.clips import TestClips, TrainClips, batch_of, make_loader
from twostream.data.crop_and_flip import View, fixed_views
from twostream.data.index import read_index
from twostream.data.streams import STREAMS
from twostream.nets.normalize import Normalized
from twostream.nets.pretrained import mean_and_std
from twostream.training.data import EpochSampler

RGB, FLOW = STREAMS["spatial"], STREAMS["temporal"]
BOTH = pytest.mark.parametrize("stream", [RGB, FLOW], ids=["spatial", "temporal"])
BLACK = np.zeros((4, 24, 32, 3), np.uint8)


class Echo(nn.Module):
    def forward(self, clip):
        return clip


def in_units(batch, stream, recipe):
    """What a network would see, (B, T, C, H, W)."""
    door = Normalized(
        Echo(), stream.scale(recipe), mean_and_std(None) if stream.is_colour else None
    )
    return door(batch.clip, batch.mean, batch.gain).numpy()


def read(cache, stream, spec, indices, *views, video=0):
    reader = ClipReader(cache, stream, spec)
    item = read_index(cache).items[video]
    return batch_of(reader.read(item, np.array(indices), lambda h, w: views), item.label)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def one_flow(tmp_path, new_cache, add):
    """A cache of one video with this flow."""

    def make(flow, **recipe):
        cache = new_cache(tmp_path / "one", **recipe)
        frames = np.zeros((len(flow) + 1, *flow.shape[2:], 3), np.uint8)
        add(cache, "c/a", frames, flow)
        return cache

    return make


# What a clip holds


@pytest.mark.parametrize(
    ("side", "size"), [(12, 12), (12, 18), (12, 30), (24, 12), (20, 5), (16, 24), (24, 24)]
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_constant_flow_grows_with_the_picture_and_turns_in_the_mirror(
    one_flow, side, size, mirrored
):
    flow = np.empty((3, 2, 24, 32))
    flow[:, 0], flow[:, 1] = 2.0, -1.25
    cache = one_flow(flow)
    spec = ClipSpec(length=3, crop=size, subtract_mean=False)
    batch = read(cache, FLOW, spec, [0, 1, 2], View(0, 3, side, side, mirrored))
    seen = in_units(batch, FLOW, cache.recipe)
    factor = size / side
    expected = np.array([-2.0 if mirrored else 2.0, -1.25]) * factor
    assert seen.shape == (1, 3, 2, size, size)
    np.testing.assert_allclose(
        seen, np.broadcast_to(expected[:, None, None], seen.shape), rtol=1e-5
    )


def test_every_training_clip_of_a_constant_flow_is_true_of_its_picture(one_flow):
    flow = np.empty((5, 2, 24, 32))
    flow[:, 0], flow[:, 1] = 2.0, -1.0
    cache = one_flow(flow)
    spec = ClipSpec(length=2, crop=18, scales=(1.0, 0.75, 0.5), subtract_mean=False)
    clips = TrainClips(cache, read_index(cache).items, FLOW, spec, seed=0)
    seen = set()
    for epoch in range(150):
        values = in_units(clips[epoch, 0], FLOW, cache.recipe)[0]
        assert np.ptp(values, axis=(0, 2, 3)).max() < 1e-5
        dx, dy = values[0, :, 0, 0]
        seen.add((round(float(dx), 3), round(float(dy), 3)))
    # Width and height are scaled by shares that are at most one step apart.
    factors = [18 / 24, 18 / 18, 18 / 12]
    pairs = [(a, b) for a in range(3) for b in range(3) if abs(a - b) <= 1]
    assert seen == {(s * 2.0 * factors[a], -factors[b]) for a, b in pairs for s in (-1, 1)}


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_mean_is_of_each_whole_field_and_subtracted_before_the_crop(one_flow, mirrored):
    # Field 0: dx is 4 px in the left half and 0 in the right. Its own mean is 2; the mean of the stack
    # would be 2.5, and that of a crop of the left half 4.
    flow = np.zeros((2, 2, 24, 32))
    flow[0, 0, :, :16], flow[1, 0] = 4.0, 3.0
    flow[0, 1], flow[1, 1, :12] = -5.0, 1.0
    cache = one_flow(flow)
    spec = ClipSpec(length=2, crop=8)
    left = View(0, 0, 8, 8, mirrored)
    right = View(16, 24, 8, 8, mirrored)
    batch = read(cache, FLOW, spec, [0, 1], left, right)
    seen = in_units(batch, FLOW, cache.recipe)
    sign = -1 if mirrored else 1
    expected = np.array([[[sign * 2.0, 0.0], [0.0, 0.5]], [[sign * -2.0, 0.0], [0.0, -0.5]]])
    np.testing.assert_allclose(seen.mean((3, 4)), expected, atol=1e-5)
    assert np.ptp(seen, axis=(3, 4)).max() < 1e-5


def test_the_mean_grows_with_the_picture_too(one_flow):
    flow = np.zeros((1, 2, 24, 24))
    flow[0, 0, :, :12] = 4.0
    cache = one_flow(flow)
    batch = read(cache, FLOW, ClipSpec(length=1, crop=48), [0], View(0, 0, 24, 24))
    seen = in_units(batch, FLOW, cache.recipe)[0, 0, 0]
    np.testing.assert_allclose(seen[:, :20], 4.0, atol=1e-5)  # (4 − 2) · 2
    np.testing.assert_allclose(seen[:, -20:], -4.0, atol=1e-5)


def test_a_constant_motion_of_the_camera_disappears_and_stays_without_subtraction(one_flow):
    flow = np.random.default_rng(0).integers(-8, 9, (3, 2, 24, 32)) * 0.25
    flow -= np.round(flow.mean((2, 3), keepdims=True) * 4) / 4
    panned = flow + np.array([5.0, -3.0])[:, None, None]
    view = View(2, 4, 16, 16)
    seen = {}
    for subtract in (True, False):
        cache = one_flow(panned)
        spec = ClipSpec(length=3, crop=16, subtract_mean=subtract)
        seen[subtract] = in_units(read(cache, FLOW, spec, [0, 1, 2], view), FLOW, cache.recipe)
    cut = flow[None, :, :, 2:18, 4:20]
    np.testing.assert_allclose(
        seen[True], cut - flow.mean((2, 3))[None, :, :, None, None], atol=1e-4
    )
    np.testing.assert_allclose(seen[False], panned[None, :, :, 2:18, 4:20], atol=1e-4)


def test_fields_and_components_fold_in_the_order_x1_y1_x2_y2(one_flow):
    flow = np.empty((4, 2, 24, 24))
    for t in range(4):
        flow[t, 0], flow[t, 1] = t + 1, -(t + 1) - 0.5
    cache = one_flow(flow)
    spec = ClipSpec(length=4, crop=24, subtract_mean=False)
    batch = read(cache, FLOW, spec, [0, 1, 2, 3], View(0, 0, 24, 24))
    folded = in_units(batch, FLOW, cache.recipe).reshape(1, 8, 24, 24)
    assert folded[0, :, 5, 5].tolist() == [1, -1.5, 2, -2.5, 3, -3.5, 4, -4.5]


def test_clips_travel_as_integers_of_the_smallest_kind(one_flow, toy):
    view = View(0, 0, 16, 16)
    for cache, stream, step, kind in (
        (toy, RGB, None, torch.uint8),
        (toy, FLOW, None, torch.int8),
        (one_flow(np.zeros((2, 2, 24, 24)), quantizer_step=1 / 64), FLOW, 1 / 64, torch.int16),
    ):
        spec = ClipSpec(length=2, crop=12)
        batch = read(cache, stream, spec, [0, 1], view)
        assert batch.clip.dtype == kind, step
        assert (batch.mean.dtype, batch.gain.dtype) == (torch.float32, torch.float32)
        assert (batch.label.dtype, batch.video.dtype) == (torch.int64, torch.int64)


def test_a_frame_reaches_the_network_as_published_weights_expect(toy):
    batch = read(toy, RGB, ClipSpec(length=1, crop=20), [2], View(0, 0, 20, 20))
    rgb = toy.entry(read_index(toy).items[0].id).rgb[[2]][0] / 255
    expected = (rgb - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    seen = in_units(batch, RGB, toy.recipe)[0, 0]
    np.testing.assert_allclose(seen, np.moveaxis(expected, 2, 0), atol=1e-5)


# The two datasets


@BOTH
@pytest.mark.parametrize("scales", [(), (1.0, 0.6)])
def test_a_training_clip_is_one_view_of_consecutive_frames(
    stream, scales, tmp_path, new_cache, add
):
    # Every frame is the same noise, so any difference between frames is one between their views.
    rng = np.random.default_rng(0)
    cache = new_cache(tmp_path)
    frames = np.repeat(rng.integers(0, 256, (1, 24, 32, 3)).astype(np.uint8), 8, axis=0)
    flow = np.repeat(rng.integers(-60, 61, (1, 2, 24, 32)) * 0.25, 7, axis=0)
    add(cache, "c/a", frames, flow)
    clips = TrainClips(
        cache, read_index(cache).items, stream, ClipSpec(length=4, crop=12, scales=scales), 0
    )
    pictures = set()
    for epoch in range(12):
        clip = clips[epoch, 0].clip
        assert clip.shape == (1, 4, stream.channels, 12, 12)
        assert torch.all(clip == clip[:, :1])
        pictures.add(clip.numpy().tobytes())
    assert len(pictures) > 8


@BOTH
def test_a_training_clip_depends_on_the_seed_the_epoch_and_the_video_alone(stream, toy, items):
    spec = ClipSpec(length=2, crop=8)
    first, again, other = (TrainClips(toy, items(toy), stream, spec, seed) for seed in (1, 1, 2))
    list(islice((again[5, n] for n in (9, 3, 0)), 3))  # what was read before changes nothing
    assert same(first[0, 3], again[0, 3])
    assert not same(first[0, 3], first[1, 3])
    assert not same(first[0, 3], other[0, 3])


@BOTH
@pytest.mark.parametrize("crops", [1, 3, 10])
def test_test_clips_are_those_that_a_person_would_cut_out(stream, crops, toy, items):
    spec = ClipSpec(length=2, crop=12)
    clips = TestClips(toy, items(toy), stream, spec, clips=3, crops=crops)
    assert len(clips) == 3 * len(items(toy))
    video = 7
    item = items(toy)[video]
    count = item.frames if stream is RGB else item.fields
    for number, start in enumerate([0, (count - 2) // 2, count - 2]):
        batch = clips[3 * video + number]
        whole = stream.read(toy.entry(item.id), [start, start + 1])
        views = fixed_views(20, 20, spec, crops)
        assert len(batch.clip) == crops
        for view, clip, gain in zip(views, batch.clip.numpy(), batch.gain.numpy(), strict=True):
            cut = whole[:, :, view.top : view.top + 12, view.left : view.left + 12]
            np.testing.assert_array_equal(clip, cut[..., ::-1] if view.mirrored else cut)
            np.testing.assert_array_equal(gain, stream.mirror if view.mirrored else 1)
        assert batch.video.tolist() == [video] * crops
        assert batch.label.tolist() == [item.label] * crops


@BOTH
def test_a_video_shorter_than_a_clip_is_looped(stream, tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    add(cache, "c/a", count=3)
    items = read_index(cache).items
    spec = ClipSpec(length=7, crop=16, flip=False)
    count = 3 if stream is RGB else 2
    for clip in (
        TrainClips(cache, items, stream, spec, 0)[0, 0].clip[0],
        TestClips(cache, items, stream, spec, 2, 1)[1].clip[0],
    ):
        assert clip.shape == (7, stream.channels, 16, 16)
        for t in range(7):
            assert torch.equal(clip[t], clip[t % count])
        assert not torch.equal(clip[0], clip[1])


@BOTH
def test_a_video_of_one_field_and_one_smaller_than_the_crop_still_make_clips(
    stream, tmp_path, new_cache, add
):
    cache = new_cache(tmp_path)
    add(cache, "c/a", count=2, size=(9, 13))
    items = read_index(cache).items
    spec = ClipSpec(length=10, crop=32, stride=2)
    assert TrainClips(cache, items, stream, spec, 0)[0, 0].clip.shape[-2:] == (32, 32)
    assert TestClips(cache, items, stream, spec, 10, 10)[9].clip.shape[-2:] == (32, 32)


def test_the_stride_is_the_distance_between_fields(one_flow):
    flow = np.zeros((9, 2, 24, 24))
    flow[:, 0] = np.arange(9)[:, None, None]
    cache = one_flow(flow)
    spec = ClipSpec(length=3, stride=4, crop=24, flip=False, subtract_mean=False)
    clips = TrainClips(cache, read_index(cache).items, FLOW, spec, 0)
    seen = in_units(clips[0, 0], FLOW, cache.recipe)[0, :, 0, 0, 0]
    assert seen.tolist() == [0, 4, 8]


@pytest.mark.parametrize("rate", [20, 40])
def test_the_frame_rate_is_of_each_video_s_own_time_stamps(tmp_path, new_cache, add, rate):
    cache = new_cache(tmp_path)
    frames = np.zeros((2 * rate, 24, 24, 3), np.uint8)
    frames[:] = np.arange(len(frames))[:, None, None, None]
    add(cache, "c/a", frames, rate=rate)
    spec = ClipSpec(length=4, fps=5, crop=24, flip=False)
    clips = TestClips(cache, read_index(cache).items, RGB, spec, 2, 1)
    first, last = (clips[number].clip[0, :, 0, 0, 0].float().numpy() for number in (0, 1))
    np.testing.assert_allclose(np.diff(first) / rate, 0.2, atol=2 / rate)  # JPEG is off by one
    np.testing.assert_allclose(last[-1], len(frames) - 1, atol=2)


# Reading in many processes


def batches(loader):
    return [type(b)(*(part.clone() for part in b)) for b in loader]


@BOTH
def test_two_workers_give_what_none_gives(stream, toy, items):
    dataset = TestClips(toy, items(toy), stream, ClipSpec(length=2, crop=12), 2, 1)
    alone, helped = (batches(make_loader(dataset, 7, workers)) for workers in (0, 2))
    assert len(alone) == len(helped) == -(-40 // 7)
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))
    train = TrainClips(toy, items(toy), stream, ClipSpec(length=2, crop=12), 3)
    drawn = []
    for workers in (0, 2):
        sampler = EpochSampler(len(train), 3)
        loader = make_loader(train, 7, workers, sampler)
        for epoch in (0, 1):  # the workers outlive an epoch
            sampler.set_epoch(epoch)
            drawn.append(batches(loader))
    assert all(same(a, b) for a, b in zip(drawn[0] + drawn[1], drawn[2] + drawn[3], strict=True))
    assert not same(drawn[0][0], drawn[1][0])


@pytest.mark.parametrize(("method", "stream"), [("fork", RGB), ("fork", FLOW), ("spawn", FLOW)])
def test_workers_may_be_forked_or_spawned_after_files_were_opened(method, stream, toy, items):
    if method not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    dataset = TestClips(toy, items(toy)[:4], stream, ClipSpec(length=2, crop=12), 1, 1)
    before = [dataset[n] for n in range(4)]
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=method)
    both = [(batch, dataset[n]) for n, batch in enumerate(loader)]  # parent and child side by side
    for expected, (theirs, own) in zip(before, both, strict=True):
        assert same(expected, theirs)
        assert same(expected, own)


@BOTH
def test_a_dataset_with_open_files_can_be_sent_elsewhere(stream, toy, items):
    dataset = TestClips(toy, items(toy), stream, ClipSpec(length=2, crop=12), 1, 1)
    expected = dataset[5]
    assert same(pickle.loads(pickle.dumps(dataset))[5], expected)


def test_more_videos_than_may_be_open_are_read_right(tmp_path, new_cache, add):
    cache = new_cache(tmp_path.resolve())
    count = 70
    for n in range(count):
        flow = np.full((2, 2, 8, 8), n * 0.25)
        add(cache, f"c/{n:03}", np.zeros((3, 8, 8, 3), np.uint8), flow)
    dataset = TestClips(
        cache, read_index(cache).items, FLOW, ClipSpec(length=1, crop=8, subtract_mean=False), 1, 1
    )
    for n in [*range(count), *range(count), 69, 0, 35]:
        assert torch.all(dataset[n].clip == n)
    descriptors = Path("/proc/self/fd")
    if descriptors.is_dir():
        open_files = [os.path.realpath(p) for p in descriptors.iterdir()]
        assert sum(str(cache.root) in p for p in open_files) <= 64


@BOTH
def test_segments_are_clips_of_one_video_in_order_all_seen_alike(stream, toy, items):
    spec = ClipSpec(length=1, crop=8, flip=True)
    everything = items(toy)
    clips = TrainClips(toy, everything, stream, spec, seed=0, segments=2)
    single = TrainClips(toy, everything, stream, spec, seed=0)
    for epoch in range(8):
        batch = clips[epoch, 3]
        assert len(batch.clip) == 2
        assert batch.label.tolist() == [everything[3].label] * 2
        assert torch.equal(batch.gain[0], batch.gain[1])
        assert len(single[epoch, 3].clip) == 1


def test_colours_change_in_training_and_never_in_a_test_nor_of_flow(toy, items):
    plain, bright = (ClipSpec(length=2, crop=20, flip=False, colour=c) for c in (0.0, 0.5))
    everything = items(toy)
    for stream in (RGB, FLOW):
        one, other = (TrainClips(toy, everything, stream, spec, 0) for spec in (plain, bright))
        changed = [not torch.equal(one[e, 0].clip, other[e, 0].clip) for e in range(4)]
        if stream is FLOW:
            assert one[0, 0].clip.dtype == other[0, 0].clip.dtype
        else:
            assert all(changed)
        tested = [TestClips(toy, everything, stream, s, 1, 1)[0].clip for s in (plain, bright)]
        assert torch.equal(*tested)
