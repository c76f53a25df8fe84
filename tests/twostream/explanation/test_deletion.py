import numpy as np
import pytest
import torch
from planted_evidence import LENGTH, PATCH, SIDE, clip_with_patch, network_of, removed, spec_of
from torch import nn

from twostream.explanation.deletion import deletion_curve
from twostream.explanation.removal import keep_only


class Counts(nn.Module):
    """The logarithm of the odds is the sum of channel 0, in gray levels, times a factor."""

    def forward(self, clip):
        total = clip[:, :, 0].sum((1, 2, 3)) * 255 / 4000
        return torch.stack((torch.zeros_like(total), total), 1)


def test_pixels_go_in_the_order_of_the_map_and_the_probability_is_the_networks():
    network = network_of(Counts(), spec_of("spatial"))
    clip, where = clip_with_patch("spatial", (8, 8))
    map = np.random.default_rng(0).permutation(LENGTH * SIDE * SIDE).reshape(where.shape)
    curve = deletion_curve(network, clip, map.astype(np.float32), PATCH, steps=8)
    assert curve.removed.tolist() == [n / 8 for n in range(9)]
    for share, probability in zip(curve.removed, curve.probability, strict=True):
        values = clip.values.astype(float).copy()
        gone = map >= map.size * (1 - share)
        assert gone.sum() == share * map.size
        blank = values.mean((3, 4), keepdims=True)
        for channel in range(3):
            values[0, :, channel][gone] = np.broadcast_to(blank[0, :, channel], gone.shape)[gone]
        total = np.rint(values)[0, :, 0].sum() / 4000
        assert probability == pytest.approx(1 / (1 + np.exp(-total)), abs=1e-4)


def test_the_area_is_the_mean_probability():
    network = network_of(Counts(), spec_of("spatial"))
    clip, where = clip_with_patch("spatial", (8, 8))
    marked = deletion_curve(network, clip, where.astype(np.float32), PATCH)
    spared = deletion_curve(network, clip, (~where).astype(np.float32), PATCH)
    assert marked.probability[0] == spared.probability[0]
    assert marked.probability[-1] == spared.probability[-1]
    assert marked.area < spared.area
    assert marked.probability.min() < marked.area < marked.probability.max()


@pytest.mark.parametrize("stream", ["spatial", "temporal"])
def test_what_is_kept_stays_what_it_is_and_what_is_not_is_the_mean_of_its_plane(stream):
    clip, where = clip_with_patch(stream, (0, 8))
    all_kept, none_kept, half = keep_only(
        clip, np.stack([np.ones(where.shape), np.zeros(where.shape), where]).astype(np.float32)
    ).values
    assert np.array_equal(all_kept, clip.values[0])
    assert np.array_equal(none_kept, removed(clip).values[0])
    assert half.dtype == clip.values.dtype
    for channel in range(half.shape[1]):
        assert np.array_equal(half[:, channel][where], clip.values[0, :, channel][where])
        assert np.array_equal(half[:, channel][~where], none_kept[:, channel][~where])
