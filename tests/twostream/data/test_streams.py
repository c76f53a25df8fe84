import pickle

import numpy as np
import pytest

from flowcache.errors import UserError
from twostream.data.index import read_index
from twostream.data.streams import STREAMS

RGB, FLOW = STREAMS["spatial"], STREAMS["temporal"]


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_stream_agrees_with_itself(name, tmp_path, new_cache, add):
    stream, cache = STREAMS[name], new_cache(tmp_path, backward=True)
    add(cache, "c/a", count=5)
    (item,) = read_index(cache).items
    entry = cache.entry(item.id)
    clip, means = (read(entry, [0, 2, 2, 1]) for read in (stream.read, stream.means))
    assert stream.name == name
    assert clip.shape == (4, stream.channels, 24, 32)
    assert np.issubdtype(clip.dtype, np.integer)
    assert means.shape == (4, stream.channels)
    expected = stream.is_displacement * clip.mean((2, 3)) * cache.recipe.quantizer_step
    np.testing.assert_allclose(means, expected, atol=1e-5)
    for values in (stream.mirror, stream.scale(cache.recipe), stream.unit_scale):
        assert len(values) == stream.channels
    assert stream.available(item) == (5 if name == "spatial" else 4)


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_stream_can_be_sent_to_another_process(name):
    # Loaders start their processes by spawning on macOS, on Windows and from Python 3.14 on.
    assert pickle.loads(pickle.dumps(STREAMS[name])).name == name


def test_frames_become_values_between_0_and_1_and_are_the_colours():
    assert np.array_equal(255 * np.array(RGB.scale(None)), [1, 1, 1])
    assert RGB.is_colour
    assert not FLOW.is_colour


def test_frames_come_as_channels_in_the_order_red_green_blue(tmp_path, new_cache, add):
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    for t, colour in enumerate([(250, 0, 0), (0, 250, 0), (0, 0, 250)]):
        frames[t] = colour
    cache = new_cache(tmp_path)
    add(cache, "c/a", frames)
    clip = RGB.read(cache.entry("c/a"), [0, 1, 2])
    assert clip.dtype == np.uint8
    means = clip.mean((2, 3))
    np.testing.assert_allclose(means, 250 * np.eye(3), atol=6)  # what JPEG changes


def test_flow_comes_as_signed_steps_that_scale_to_pixels(tmp_path, new_cache, add):
    flow = np.random.default_rng(0).integers(-79, 80, (3, 2, 16, 16)) * 0.25
    cache = new_cache(tmp_path)
    add(cache, "c/a", np.zeros((4, 16, 16, 3), np.uint8), flow)
    clip = FLOW.read(cache.entry("c/a"), [2, 0])
    assert clip.dtype == np.int8
    scale = np.array(FLOW.scale(cache.recipe))[:, None, None]
    np.testing.assert_array_equal(clip * scale, flow[[2, 0]])


@pytest.mark.parametrize("length", [1, 4, 5])
def test_from_the_middle_of_a_stack_flow_leads_back_and_forth(tmp_path, new_cache, add, length):
    flow = np.random.default_rng(0).integers(-79, 80, (6, 4, 16, 16)) * 0.25
    cache = new_cache(tmp_path, backward=True)
    add(cache, "c/a", np.zeros((7, 16, 16, 3), np.uint8), flow)
    clip = STREAMS["bidirectional"].read(cache.entry("c/a"), range(1, 1 + length))
    middle = 1 + length // 2  # the frame from which all fields lead away, in steps of one frame
    for place, field in enumerate(range(1, 1 + length)):
        expected = flow[field, 2:] if field + 1 <= middle else flow[field, :2]
        np.testing.assert_array_equal(clip[place] * 0.25, expected)


def test_flow_backward_that_is_not_there_is_not_made_up(toy):
    item = read_index(toy).items[0]
    with pytest.raises(UserError, match="--backward"):
        STREAMS["bidirectional"].read(toy.entry(item.id), [0, 1])


def test_only_the_horizontal_displacement_changes_its_sign_in_a_mirror():
    assert FLOW.mirror == (-1, 1)
    assert RGB.mirror == (1, 1, 1)


def test_differences_are_of_each_frame_and_the_next_with_their_sign(tmp_path, new_cache, add):
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    frames[:] = np.array([200, 40, 90, 90])[:, None, None, None]
    cache = new_cache(tmp_path)
    add(cache, "c/a", frames)
    clip = STREAMS["difference"].read(cache.entry("c/a"), [2, 0, 1])
    rgb = RGB.read(cache.entry("c/a"), [0, 1, 2, 3]).astype(int)
    np.testing.assert_array_equal(clip, np.diff(rgb, axis=0)[[2, 0, 1]])
    np.testing.assert_allclose(clip.mean((1, 2, 3)), [0, -160, 50], atol=2)  # what JPEG changes


@pytest.mark.parametrize(
    ("name", "bound", "expected"),
    [
        ("spatial", 20.0, "uint8"),
        ("temporal", 127 / 4, "int8"),
        ("temporal", 32.0, "int16"),
        ("difference", 20.0, "int16"),
    ],
)
def test_the_type_of_a_clips_integers_is_known_before_one_is_read(
    name, bound, expected, new_cache, add, tmp_path
):
    cache = new_cache(tmp_path / "cache", bound=bound)
    frames = np.full((3, 16, 16, 3), 255, np.uint8)
    frames[1] = 0
    flow = np.full((2, 2, 16, 16), bound)
    flow[1] = -bound
    add(cache, "c/a", frames, flow)
    clip = STREAMS[name].read(cache.entry("c/a"), [0, 1])
    assert STREAMS[name].integers(cache.recipe) == clip.dtype == expected
    # JPEG keeps black and white to within a gray level.
    np.testing.assert_allclose(
        (clip.min(), clip.max()), STREAMS[name].limits(cache.recipe), atol=name != "temporal"
    )
