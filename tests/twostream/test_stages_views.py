"""What reaches a network in a training and in a test, held against the pixels of the cache."""

import numpy as np
import pytest
from torch import nn

from twostream import stages
from twostream.nets.pretrained import IMAGENET_MEAN, IMAGENET_STD

SIDE, CROP, LENGTH = 20, 16, 3


class Recorder(nn.Module):
    """Keeps every clip that it is given, in training and in evaluation apart."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 2)
        self.seen = {True: [], False: []}

    def forward(self, clip):
        self.seen[self.training] += list(clip.detach().numpy())
        return self.head(clip.mean((1, 2, 3, 4))[:, None])


@pytest.fixture(scope="module")
def slopes(new_cache, add, tmp_path_factory):
    """Flow and frames that no mirror image, no other place and no other time leaves as they are."""
    cache = new_cache(tmp_path_factory.mktemp("slopes") / "cache")
    rng = np.random.default_rng(0)
    for name in ("calm", "wild"):
        for group in range(5):
            frames = rng.integers(0, 256, (5, SIDE, SIDE, 3)).astype(np.uint8)
            flow = rng.integers(-40, 41, (4, 2, SIDE, SIDE)) * 0.25
            add(cache, f"{name}/v_{name}_g{group + 1:02}_c01", frames, flow)
    return cache


def true_clips(cache, stream, identifier, start):
    """Crop by (top, left, mirrored), as a person would cut them out and turn them."""
    entry = cache.entry(identifier)
    numbers = list(range(start, start + LENGTH))
    if stream == "temporal":
        whole = entry.flow[numbers].data.astype(np.float64)
        whole = whole - whole.mean((2, 3), keepdims=True)
        turn = np.array([-1.0, 1.0])[:, None, None]
    else:
        mean, std = (np.array(each)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))
        whole = (np.moveaxis(entry.rgb[numbers], 3, 1) / 255 - mean) / std
        turn = 1.0
    clips = {}
    for top in range(SIDE - CROP + 1):
        for left in range(SIDE - CROP + 1):
            cut = whole[:, :, top : top + CROP, left : left + CROP]
            clips[top, left, False] = cut
            clips[top, left, True] = cut[..., ::-1] * turn
    return clips


class Known:
    """All clips that can be cut out of a cache, and which of them one is."""

    def __init__(self, cache, stream):
        self._names, clips = [], []
        for identifier in cache.ids():
            for start in range((4 if stream == "temporal" else 5) - LENGTH + 1):
                for view, clip in true_clips(cache, stream, identifier, start).items():
                    self._names.append((identifier, view))
                    clips.append(clip)
        self._clips = np.array(clips, np.float32)

    def name(self, clip):
        """The video and the view of a clip, which must equal the known one in each pixel."""
        few = np.abs(self._clips[..., ::7, ::7] - clip[..., ::7, ::7]).sum((1, 2, 3, 4))
        number = int(few.argmin())
        np.testing.assert_allclose(clip, self._clips[number], atol=1e-3)
        return self._names[number]


@pytest.mark.parametrize("stream", ["temporal", "spatial"])
def test_networks_are_fed_true_crops_and_true_mirror_images(stream, slopes, options, tmp_path):
    """In a training any crop and its mirror image, in a test of ten crops each of them once."""
    network = Recorder()
    plan = options(
        stream, clip={"length": LENGTH, "flip": True}, schedule={"epochs": 5}, clips=1, crops=10
    )
    scores = stages.train(slopes, tmp_path, plan, network=network)
    known = Known(slopes, stream)
    taught = [known.name(clip) for clip in network.seen[True]]
    assert not {identifier for identifier, _ in taught} & set(scores.ids)
    assert {mirrored for _, (*_, mirrored) in taught} == {False, True}

    corners = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    wanted = {(*corner, mirrored) for corner in corners for mirrored in (False, True)}
    tested = [known.name(clip) for clip in network.seen[False]]
    for identifier in scores.ids:
        assert {view for name, view in tested if name == identifier} == wanted
