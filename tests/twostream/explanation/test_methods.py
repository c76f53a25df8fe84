"""Each method finds what is known to be there, and what it marks is what the class goes with."""

import numpy as np
import pytest
import torch
from planted_evidence import (
    DETECTORS,
    LENGTH,
    PATCH,
    PLACES,
    SIDE,
    TRANSFORMERS,
    Exported,
    clip_with_patch,
    detector,
    network_of,
    removed,
    spec_of,
    transformer,
)
from torch import nn

from flowcache import plugins
from flowcache.errors import UserError
from twostream.explanation import methods
from twostream.explanation.deletion import deletion_curve
from twostream.explanation.maps import enlarge
from twostream.explanation.removal import log_probability

STREAMS = ("spatial", "temporal")
BUILD = dict.fromkeys(DETECTORS, detector) | dict.fromkeys(TRANSFORMERS, transformer)
CASES = [
    *[(kind, method) for kind in DETECTORS for method in ("grad_cam", "hires_cam")],
    *[(kind, "attention_rollout") for kind in TRANSFORMERS],
    *[(kind, "rise") for kind in BUILD],
]


@pytest.fixture(scope="module", params=STREAMS)
def stream(request):
    return request.param


@pytest.fixture(scope="module")
def networks(stream):
    return {kind: build(kind, stream) for kind, build in BUILD.items()}


@pytest.mark.parametrize(("kind", "method"), CASES)
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_what_a_method_marks_is_what_the_class_goes_with(networks, stream, kind, method, place):
    network, (clip, where) = networks[kind], clip_with_patch(stream, place)
    assert np.exp(log_probability(network, clip, PATCH)) > 0.9
    assert np.exp(log_probability(network, removed(clip), PATCH)) < 0.1

    found = plugins.create(methods, method)(network, clip, PATCH)
    assert found.dtype == np.float32
    assert found.shape == (LENGTH, SIDE, SIDE)
    assert where[np.unravel_index(found.argmax(), found.shape)]
    assert found[where].mean() > found[~where].mean() + 0.3 * np.ptp(found)

    area = deletion_curve(network, clip, found, PATCH).area
    rng = np.random.default_rng(1)
    # Maps of pixels, and of blocks as coarse as those of the methods.
    for shape in ((LENGTH, SIDE, SIDE), (1, 7, 7)):
        for _ in range(3):
            drawn = enlarge(rng.random(shape).astype(np.float32), found.shape)
            assert area < deletion_curve(network, clip, drawn, PATCH).area - 0.1


@pytest.mark.parametrize(
    ("kind", "method"), [("2d", "grad_cam"), ("2d", "hires_cam"), ("vivit", "attention_rollout")]
)
def test_a_method_finds_the_time_too(networks, stream, kind, method):
    clip, _ = clip_with_patch(stream, (8, 16))
    late = clip.values.copy()
    late[:, : LENGTH // 2] = removed(clip).values[:, : LENGTH // 2]
    found = plugins.create(methods, method)(networks[kind], clip._replace(values=late), PATCH)
    early, after = found[0].max(), found[-1].max()
    assert after > 2 * early


def test_rise_finds_the_time_of_a_long_clip(stream):
    network = network_of(detector("3d", stream).model.network, spec_of(stream, length=32))
    clip, _ = clip_with_patch(stream, (8, 16), length=32)
    early = clip.values.copy()
    early[:, 8:] = removed(clip).values[:, 8:]
    found = plugins.create(methods, "rise")(network, clip._replace(values=early), PATCH)
    assert found[:8, 8:16, 16:24].mean() > 2 * found[16:, 8:16, 16:24].mean()


def test_rise_asks_for_nothing_but_logits(networks, stream):
    clip, _ = clip_with_patch(stream, PLACES[1])
    rise = plugins.create(methods, "rise", masks=32)
    inner = networks["2d"]
    assert np.array_equal(rise(Exported(inner), clip, PATCH), rise(inner, clip, PATCH))


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "attention_rollout"])
def test_what_needs_a_look_inside_refuses_an_exported_network(networks, stream, method):
    clip, _ = clip_with_patch(stream, PLACES[1])
    with pytest.raises(UserError, match="exported one shows none: choose rise") as error:
        plugins.create(methods, method)(Exported(networks["2d"]), clip, PATCH)
    assert error.value.parameter == "method"


class NoPlaces(nn.Module):
    """A linear layer over all pixels."""

    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Linear(LENGTH * channels * SIDE * SIDE, 2)

    def forward(self, clip):
        return self.fc(clip.flatten(1))


def test_a_network_without_places_is_refused_by_grad_cam_and_explained_by_rise(stream):
    spec = spec_of(stream)
    network = network_of(NoPlaces(spec.values.channels), spec)
    clip, where = clip_with_patch(stream, PLACES[1])
    with torch.no_grad():  # the class is the sum of channel 0 over the patch, which is about 3
        weight = network.model.network.fc.weight.zero_()[PATCH].view(LENGTH, -1, SIDE, SIDE)
        weight[:, 0][torch.from_numpy(where)] = 3 / (
            80 * spec.values.scale(spec.recipe)[0] * where.sum()
        )
    for method in ("grad_cam", "hires_cam"):
        with pytest.raises(UserError, match=f"{method} .* {SIDE}×{SIDE} pixels: choose rise"):
            plugins.create(methods, method)(network, clip, PATCH)
    found = plugins.create(methods, "rise")(network, clip, PATCH)
    assert where[np.unravel_index(found.argmax(), found.shape)]


class LooksAtACorner(nn.Module):
    """Maps that are alike everywhere, of which the class reads the lower right corner alone."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)
        self.pool = nn.AvgPool2d(4)
        self.fc = nn.Linear((SIDE // 4) ** 2, 2)
        with torch.no_grad():
            self.conv.weight.fill_(0.1)
            self.conv.bias.fill_(1)
            self.fc.weight.zero_()[PATCH].view(SIDE // 4, -1)[-2:, -2:] = 1

    def forward(self, clip):
        maps = self.pool(self.conv(clip.flatten(0, 1))).unflatten(0, clip.shape[:2]).mean(1)
        return self.fc(maps.flatten(1))


def test_hires_cam_sees_where_a_class_reads_maps_and_grad_cam_does_not(stream):
    """Draelos & Carin 2020: the mean of a gradient forgets its places."""
    spec = spec_of(stream)
    network = network_of(LooksAtACorner(spec.values.channels), spec)
    clip, _ = clip_with_patch(stream, PLACES[1])
    corner = np.zeros((LENGTH, SIDE, SIDE), bool)
    corner[:, -8:, -8:] = True
    fine = plugins.create(methods, "hires_cam")(network, clip, PATCH)
    assert fine[corner].sum() > 0.8 * fine.sum() > 0
    rough = plugins.create(methods, "grad_cam")(network, clip, PATCH)
    assert rough[corner].sum() < 0.2 * rough.sum()


def test_rollout_is_refused_where_there_is_no_attention(networks, stream):
    clip, _ = clip_with_patch(stream, PLACES[1])
    with pytest.raises(UserError, match="is for transformers"):
        plugins.create(methods, "attention_rollout")(networks["3d"], clip, PATCH)


@pytest.mark.parametrize("options", [{"masks": 0}, {"grid": 0}])
def test_rise_refuses_no_masks_and_no_cells(options):
    with pytest.raises(UserError, match="must be 1 or more"):
        plugins.create(methods, "rise", **options)
