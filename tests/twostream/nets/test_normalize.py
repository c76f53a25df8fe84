import numpy as np
import pytest
import torch
from torch import nn

from twostream.data.streams import STREAMS
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
    door = Normalized(Echo(), scale, shift)
    out = door(*(torch.from_numpy(a) for a in (clip, mean.astype("f4"), gain.astype("f4"))))
    expected = np.empty(clip.shape)
    for b, t, c, y, x in np.ndindex(*clip.shape):
        value = clip[b, t, c, y, x] * scale[c] - mean[b, t, c]
        expected[b, t, c, y, x] = value * gain[b, c] + shift[c]
    np.testing.assert_allclose(out.numpy(), expected.reshape(2, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16])
def test_any_integers_become_floats_without_wrapping(dtype):
    door = Normalized(Echo(), (3.0,), (0.0,))
    clip = torch.full((1, 1, 1, 2, 2), 127, dtype=dtype)
    out = door(clip, torch.zeros(1, 1, 1), torch.full((1, 1), 2.0))
    assert out.dtype == torch.float32
    assert out.tolist() == [[762.0] * 4]


def test_a_checkpoint_carries_the_scale_and_another_cache_can_replace_it():
    spatial = STREAMS["spatial"]
    door = Normalized(Echo(), spatial.scale(None), spatial.shift)
    assert {"scale", "shift"} <= set(door.state_dict())
    door.set_scale((1.0, 2.0, 4.0))
    clip = torch.ones(1, 1, 3, 1, 1, dtype=torch.uint8)
    out = door(clip, torch.zeros(1, 1, 3), torch.ones(1, 3)) - door.shift.flatten()
    np.testing.assert_allclose(out.numpy(), [[1, 2, 4]], rtol=1e-6)


def test_weights_alone_are_trained():
    assert list(Normalized(nn.Linear(1, 1), (1.0,), (0.0,)).named_parameters()) != []
    assert all(
        "network" in name for name, _ in Normalized(nn.Linear(1, 1), (1,), (0,)).named_parameters()
    )
