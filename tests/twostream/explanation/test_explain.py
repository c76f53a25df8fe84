"""An explanation is of the answer that is predicted, and lies on the video as it is stored."""

from dataclasses import replace

import numpy as np
import pytest
from planted_evidence import Exported
from scipy.special import softmax
from stub_networks import stub_network

import twostream
from flowcache import plugins
from flowcache.errors import UserError
from flowcache.show.colour import flow_to_color
from twostream.data.clip_reader import ClipReader, cut
from twostream.data.crop_and_flip import View
from twostream.data.index import read_index
from twostream.data.streams import STREAMS as STREAMS_OF_DATA
from twostream.explanation import methods
from twostream.explanation.explain import explain, explain_clip
from twostream.explanation.maps import normalise, on_picture
from twostream.prediction.networks import load_network, logits_of_video

STREAMS = ("spatial", "temporal")
SIDE, CROP, FRAMES = 20, 16, 5


@pytest.fixture(scope="module", params=STREAMS)
def network(request, finished_runs):
    return load_network(finished_runs / request.param)


@pytest.fixture(scope="module")
def item(toy):
    return read_index(toy).items[3]


@pytest.fixture
def entry(toy, item):
    with toy.entry(item.id) as opened:
        yield opened


@pytest.fixture(scope="module")
def reader(toy, network):
    return ClipReader(toy, network.spec.values, network.spec.clip)


@pytest.mark.parametrize("clips", [1, 2, 7])
def test_it_is_the_best_class_and_its_probability_as_they_are_predicted(
    network, entry, item, reader, clips
):
    one = explain(network, entry, clips=clips)
    logits = logits_of_video(network, reader, item, clips=clips, crops=1, average="logits")
    assert one.label == network.spec.classes[logits.argmax()]
    assert one.probability == pytest.approx(softmax(logits[0]).max(), abs=1e-6)
    other = next(name for name in network.spec.classes if name != one.label)
    asked = explain(network, entry, clips=clips, label=other)
    assert asked.label == other
    assert asked.probability == pytest.approx(1 - one.probability, abs=1e-6)


@pytest.mark.parametrize("stream", list(STREAMS_OF_DATA))
@pytest.mark.parametrize("clips", [1, 4])
def test_the_clips_that_are_explained_are_those_that_are_predicted(
    tmp_path, new_cache, add, stream, clips
):
    cache = new_cache(tmp_path, backward=True)
    add(cache, "c/a", count=9)
    network = stub_network(stream, cache.recipe, length=4)
    with cache.entry("c/a") as opened:
        explain(network, opened, clips=clips, method="rise")
    reader = ClipReader(cache, network.spec.values, network.spec.clip)
    (item,) = read_index(cache).items
    for number, seen in enumerate(network.seen[:clips]):
        for one, other in zip(seen, reader.even(item, number, clips, 1), strict=True):
            np.testing.assert_array_equal(one, other)


def test_it_shows_what_the_stream_looked_at(network, entry):
    one = explain(network, entry, clips=3)
    numbers = one.numbers.tolist()
    assert numbers == sorted(set(numbers))
    assert one.frames.shape == (len(numbers), SIDE, SIDE, 3)
    assert one.map.shape == one.frames.shape[:3]
    assert np.array_equal(one.rgb, entry.rgb[numbers])
    assert np.array_equal(one.times, entry.times[numbers])
    assert one.stream == network.spec.stream
    for number, shown in zip(numbers, one.frames, strict=True):
        if one.stream == "spatial":
            assert np.array_equal(shown, entry.rgb[number])
        else:
            seen = entry.flow[number] - entry.flow_means[number][:, None, None]
            expected = flow_to_color(seen.astype(np.float32), one.scale)
            assert np.abs(shown.astype(int) - expected).max() <= 1


def test_what_the_network_did_not_see_says_nothing(network, entry):
    one = explain(network, entry)
    assert (one.seen.height, one.seen.width) == (CROP, CROP)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[2:18, 2:18] = True
    assert not one.map[:, ~inside].any()
    assert one.map.max() == pytest.approx(1, abs=1e-6)
    assert one.map.min() >= 0


@pytest.mark.parametrize("method", ["grad_cam", "rise"])
def test_a_frame_of_several_clips_has_the_mean_of_their_maps(network, entry, item, reader, method):
    one = explain(network, entry, clips=4, method=method)
    way, label = plugins.create(methods, method), network.spec.classes.index(one.label)
    length = network.spec.clip.length
    available = network.spec.values.available(item)
    found = [[] for _ in range(available)]
    for number in range(4):
        start = int(np.floor(np.linspace(0, available - length, 4)[number]))
        for place, map in enumerate(way(network, reader.even(item, number, 4, 1), label)):
            found[start + place].append(map)
    seen = [number for number, maps in enumerate(found) if maps]
    means = np.stack([np.mean(found[number], 0) for number in seen]).astype(np.float32)
    assert one.numbers.tolist() == seen
    expected = on_picture(normalise(means), one.seen, SIDE, SIDE)
    assert np.allclose(one.map, expected, atol=1e-5)


def test_a_clip_is_explained_as_it_was_seen(network, item, reader):
    clip = reader.even(item, 0, 1, 1)
    one = explain_clip(network, clip)
    logits = network.logits(clip)[0]
    assert one.label == network.spec.classes[logits.argmax()]
    assert one.probability == pytest.approx(softmax(logits).max(), abs=1e-6)
    length = network.spec.clip.length
    assert one.frames.shape == one.rgb.shape == (length, CROP, CROP, 3)
    assert one.map.shape == (length, CROP, CROP)


def test_a_mirrored_clip_moves_the_other_way(finished_runs, entry):
    network = load_network(finished_runs / "temporal")
    stream, numbers = network.spec.values, [0, 1, 2]
    whole = View(0, 0, SIDE, SIDE, mirrored=True)
    clip = cut(entry.codes[numbers], entry.flow_means[numbers], [whole], SIDE, stream)
    one = explain_clip(network, clip)
    for number, shown in zip(numbers, one.frames, strict=True):
        dx, dy = entry.flow[number] - entry.flow_means[number][:, None, None]
        mirrored = np.stack([-dx, dy])[:, :, ::-1].astype(np.float32)
        assert np.abs(shown.astype(int) - flow_to_color(mirrored, one.scale)).max() <= 1


def test_an_exported_network_is_explained_by_rise(network, entry):
    assert explain(Exported(network), entry, clips=1).method == "rise"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"method": "guess"},
            "no method 'guess': choose from attention_rollout, grad_cam, hires_cam, rise",
        ),
        ({"label": "angry"}, "no class 'angry': choose from calm, wild"),
        ({"clips": 0}, "0 clips of each video are too few"),
    ],
)
def test_what_there_is_not_is_named(network, entry, given, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        explain(network, entry, **given)
    assert error.value.parameter == next(iter(given))


def test_flow_in_other_steps_than_were_learnt_is_refused(finished_runs, entry):
    network = load_network(finished_runs / "temporal")
    coarser = replace(network.spec, recipe=replace(network.spec.recipe, quantizer_step=0.5))
    with pytest.raises(UserError, match=r"steps of 0\.25 px, and the network .* steps of 0\.5 px"):
        explain(replace(network, spec=coarser), entry)


def test_the_names_are_public():
    assert twostream.explain is explain
    assert twostream.explain_clip is explain_clip
    assert {"Explanation", "explain", "explain_clip", "explain_video"} <= set(dir(twostream))
