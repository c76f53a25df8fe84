from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from twostream.scoring.evaluate import logits_of_videos

CPU = torch.device("cpu")


class Clips(NamedTuple):
    clip: torch.Tensor
    mean: torch.Tensor
    gain: torch.Tensor
    label: torch.Tensor
    video: torch.Tensor


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, clip, mean, gain):
        return self.linear(self.dropout(clip.float() * gain - mean))


def clips_of(videos, seed=0):
    rng = torch.Generator().manual_seed(seed)
    n = len(videos)
    parts = (torch.randn(n, 4, generator=rng) for _ in range(3))
    return Clips(*parts, torch.zeros(n, dtype=torch.int64), torch.tensor(videos))


def cut(clips, *sizes):
    return [Clips(*parts) for parts in zip(*(p.split(sizes) for p in clips), strict=True)]


@pytest.mark.parametrize("sizes", [(11,), (4, 4, 3), (1,) * 11])
def test_logits_are_averaged_over_the_clips_of_each_video(sizes):
    torch.manual_seed(0)
    model = Model()
    # In any order and of any number.
    videos = [2, 0, 1, 1, 1, 2, 0, 1, 0, 3, 1]
    clips = clips_of(videos)
    got = logits_of_videos(model, cut(clips, *sizes), 4, CPU)
    model.eval()
    for video in range(4):
        own = [
            model(c.clip, c.mean, c.gain)[0].detach().numpy()
            for c, v in zip(cut(clips, *(1,) * 11), videos, strict=True)
            if v == video
        ]
        np.testing.assert_allclose(got[video], np.mean(own, axis=0), rtol=1e-5, atol=1e-6)
    assert got.dtype == np.float32


@pytest.mark.parametrize("sizes", [(11,), (4, 4, 3), (1,) * 11])
def test_the_softmax_of_averaged_probabilities_is_their_mean(sizes):
    torch.manual_seed(0)
    model = Model()
    videos = [2, 0, 1, 1, 1, 2, 0, 1, 0, 3, 1]
    clips = clips_of(videos)
    got = logits_of_videos(model, cut(clips, *sizes), 4, CPU, average="softmax")
    powers = np.exp(model.eval()(*clips[:3]).detach().numpy().astype(np.float64))
    probabilities = powers / powers.sum(1, keepdims=True)
    expected = [probabilities[np.array(videos) == video].mean(0) for video in range(4)]
    np.testing.assert_allclose(np.exp(got) / np.exp(got).sum(1, keepdims=True), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(got), expected, rtol=1e-5)
    assert got.dtype == np.float32


def test_a_probability_too_small_for_a_number_stays_one_in_the_average():
    class Sure(nn.Module):
        def forward(self, clip, mean, gain):
            return torch.tensor([[5000.0, 0.0, -5000.0]]).repeat(len(clip), 1)

    got = logits_of_videos(Sure(), [clips_of([0, 0])], 1, CPU, average="softmax")
    assert np.isfinite(got).all()
    assert got.argmax() == 0


def test_a_video_without_a_clip_is_noticed():
    with pytest.raises(ValueError, match="no clip"):
        logits_of_videos(Model(), [clips_of([0, 2])], 3, CPU)
    with pytest.raises(ValueError, match="no clip"):
        logits_of_videos(Model(), [], 1, CPU)


def test_the_caller_hears_of_every_batch():
    heard = []
    logits_of_videos(Model(), cut(clips_of([0, 1, 0, 1, 1]), 2, 3), 2, CPU, heard.append)
    assert heard == [2, 3]


def test_evaluation_leaves_no_trace_in_the_network():
    model = Model().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    logits_of_videos(model, [clips_of([0, 1])], 2, CPU)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
