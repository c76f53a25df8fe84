import numpy as np
import pytest
import torch
from torch import nn

from twostream.nets.normalize import Normalized


class Echo(nn.Module):
    """A network whose logits are all that it is given."""

    def forward(self, clip):
        return clip.flatten(1)


def test_the_door_computes_what_it_says():
    rng = np.random.default_rng(0)
    clip = rng.integers(-80, 81, (2, 3, 2, 4, 5)).astype(np.int8)
    mean, gain = rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 2))
    scale, shift = (0.25, 0.5), (0.1, -2.0)
    door = Normalized(Echo(), scale, ([-0.1, 2.0], [1.0, 1.0]))
    out = door(*(torch.from_numpy(a) for a in (clip, mean.astype("f4"), gain.astype("f4"))))
    expected = np.empty(clip.shape)
    for b, t, c, y, x in np.ndindex(*clip.shape):
        value = clip[b, t, c, y, x] * scale[c] - mean[b, t, c]
        expected[b, t, c, y, x] = value * gain[b, c] + shift[c]
    np.testing.assert_allclose(out.numpy(), expected.reshape(2, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16])
def test_any_integers_become_floats_without_wrapping(dtype):
    door = Normalized(Echo(), (3.0,))
    clip = torch.full((1, 1, 1, 2, 2), 127, dtype=dtype)
    out = door(clip, torch.zeros(1, 1, 1), torch.full((1, 1), 2.0))
    assert out.dtype == torch.float32
    assert out.tolist() == [[762.0] * 4]


def test_values_are_normalised_by_the_mean_and_the_deviation():
    door = Normalized(Echo(), (0.5, 0.25), ([3.0, 4.0], [2.0, 10.0]))
    out = door(torch.tensor([7, 80], dtype=torch.uint8).view(1, 1, 2, 1, 1))
    np.testing.assert_allclose(out.numpy(), [[(3.5 - 3) / 2, (20 - 4) / 10]], rtol=1e-6)


def test_a_checkpoint_carries_the_scale_and_another_cache_can_replace_it():
    door = Normalized(Echo(), (0.25, 0.25), ([3.0, 4.0], [1.0, 2.0]))
    assert {"scale", "shift"} <= set(door.state_dict())
    clip = torch.tensor([8, 80], dtype=torch.uint8).view(1, 1, 2, 1, 1)
    for step in ((0.5, 0.5), (0.125, 1.0), (0.25, 0.25)):
        door.set_scale(step)
        expected = [[8 * step[0] - 3, (80 * step[1] - 4) / 2]]
        np.testing.assert_allclose(door(clip).numpy(), expected, rtol=1e-6)


def test_weights_alone_are_trained():
    names = [name for name, _ in Normalized(nn.Linear(1, 1), (1.0,)).named_parameters()]
    assert names == ["network.weight", "network.bias"]
