"""Every model of the zoo is explained, by the method that is chosen for it."""

import numpy as np
import pytest
import torch
from made_networks import build, small_options, stirred, with_statistics
from planted_evidence import network_of, spec_of
from torch import nn

from flowcache import plugins
from twostream import models
from twostream.data.clip_reader import Clip
from twostream.explanation import methods
from twostream.explanation.explain import explain_clip
from twostream.explanation.methods._last_maps import last_maps

LENGTH, SIDE, CLASSES = 8, 48, ("a", "b", "c", "d", "e")
TRANSFORMERS = {"mvit", "timesformer", "videomae", "vivit"}
NAMES = plugins.names(models)
# Seconds each; their layers are those of the others.
SLOW = {"c3d", "mc3", "non_local", "r2plus1d", "r3d"}
EVERY = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in NAMES]
)


def made(name, stream="temporal", **options):
    spec = spec_of(stream, length=LENGTH, side=SIDE, classes=CLASSES)
    options = small_options(name) | options
    channels = spec.values.channels
    module = build(name, channels=channels, length=LENGTH, classes=5, **options)
    if name in TRANSFORMERS:
        module = stirred(module, by=0.05)
    return network_of(with_statistics(module), spec)


def clip_of(stream="temporal", seed=0):
    channels = 2 if stream == "temporal" else 3
    values = np.random.default_rng(seed).integers(-60, 60, (1, LENGTH, channels, SIDE, SIDE))
    mean = np.zeros((1, LENGTH, channels), np.float32)
    return Clip(values.astype(np.int8), mean, np.ones((1, channels), np.float32))


@EVERY
def test_a_model_is_explained_by_the_method_that_suits_it(name):
    network, clip = made(name), clip_of()
    one = explain_clip(network, clip)
    assert one.method == ("attention_rollout" if name in TRANSFORMERS else "hires_cam")
    assert one.map.shape == (LENGTH, SIDE, SIDE)
    assert one.map.dtype == np.float32
    assert one.map.min() == 0
    assert one.map.max() == 1
    logits = network.logits(clip)[0]
    assert one.label == CLASSES[logits.argmax()]
    assert one.probability == pytest.approx(np.exp(logits.max() - np.logaddexp.reduce(logits)))
    if name not in TRANSFORMERS:
        grad_cam = plugins.create(methods, "grad_cam")
        found = next(map for label in range(5) if (map := grad_cam(network, clip, label)).any())
        assert found.shape == one.map.shape
        assert np.isfinite(found).all()
        assert found.min() >= 0
        assert np.ptp(found) > 0
    # It is asked for once and leaves nothing behind.
    assert np.array_equal(explain_clip(network, clip).map, one.map)
    assert all(p.grad is None for p in network.model.parameters())
    assert not any(m._forward_hooks for m in network.model.modules())


POOLED = {
    "early_fusion": "backbone.avgpool",
    "efficientnet_lite": "backbone._pool",
    "i3d": "avg_pool",
    "inflate": "backbone.avgpool",
    "mc3": "avgpool",
    "resnet": "backbone.avgpool",
    "tiny": "backbone.avgpool",
}
"""Models that have one linear layer behind this pooling, by which maps are averaged."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in sorted(POOLED)]
)
def test_grad_cam_is_the_class_activation_map_of_the_last_layer(name):
    """Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", section 2.

    Σ_k w_k f_k(x, y) with the weights of the linear layer, to which Grad-CAM comes down where the maps
    are averaged (Selvaraju et al. 2017, section 3.1).
    """
    network, clip = made(name), clip_of()
    module = network.model.network
    pooling, caught = module.get_submodule(POOLED[name]), []
    handle = pooling.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    network.logits(clip)
    handle.remove()
    head = module.get_submodule(module.pretrained.head)
    compared = 0
    for label in range(len(CLASSES)):
        weights = head.weight[label].flatten().detach()
        expected = torch.einsum("k,nk...->n...", weights, caught[0]).clamp_min(0)
        expected = expected.reshape(-1, *caught[0].shape[-2:])
        found = plugins.create(methods, "grad_cam")(network, clip, label)
        if expected.max() == 0:  # all of it speaks against the class
            assert found.max() == 0
            continue
        # Where maps are made larger and small again, their middles stay.
        coarse = nn.functional.interpolate(
            torch.from_numpy(found)[None, None], expected.shape, mode="trilinear"
        )[0, 0]
        agreement = np.corrcoef(coarse.flatten(), expected.flatten())[0, 1]
        compared += 1
        assert agreement > 0.98
    assert compared


@pytest.mark.parametrize(
    ("name", "side", "places"),
    [("tiny", 112, 7), ("tiny", 96, 12), ("tiny", 48, 12), ("tiny", 6, 2)],
)
def test_hires_cam_takes_the_last_maps_of_seven_places_or_more(name, side, places):
    """The network halves its side four times; where it never has seven, Grad-CAM's maps are taken."""
    spec = spec_of("temporal", length=LENGTH, side=side, classes=CLASSES)
    network = network_of(with_statistics(build(name, channels=2, length=LENGTH)), spec)
    values = np.random.default_rng(0).integers(-60, 60, (1, LENGTH, 2, side, side)).astype(np.int8)
    clip = clip_of()._replace(values=values)
    found, _ = last_maps(network, clip, 0, "hires_cam", 7)
    assert found.shape[-1] == places
